package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
)

// work does what a job asks for. A panic is the job's error.
func (s *session) work(ctx context.Context, j job) (r result) {
	defer func() {
		if p := recover(); p != nil {
			s.c.counters.update(func(st *Stats) { st.DecodePanics++ })
			r = result{job: j, err: fmt.Errorf("panic: %v", p), slow: true}
		}
	}()
	r.job = j
	switch {
	case j.key == key{}:
		r.lists, r.err = s.fetchLists(ctx)
	case j.key.image:
		s.workImage(ctx, &r)
	default:
		s.workContainer(ctx, &r)
	}
	if errors.Is(r.err, context.DeadlineExceeded) && j.key != (key{}) {
		// If the daemon answers a ping, it is this object that hangs.
		ctx, cancel := context.WithTimeout(ctx, pingWait)
		defer cancel()
		_, err := s.daemon.ping(ctx)
		r.slow = err == nil
	}
	return r
}

func (s *session) workContainer(ctx context.Context, r *result) {
	in, err := s.daemon.inspectContainer(ctx, r.key.id)
	if err != nil {
		r.err = err
		return
	}
	if r.container, r.err = mapInspect(&in, s.opts.Env); r.err != nil {
		return
	}
	c := r.container.entity
	if c.PID != 0 {
		c.CgroupPath = cgroupPath(s.opts.ProcRoot, c.PID, c.ID)
	}
}

func (s *session) workImage(ctx context.Context, r *result) {
	in, err := s.daemon.inspectImage(ctx, r.key.id)
	if err != nil {
		r.err = err
		return
	}
	var history []dockerimage.HistoryResponseItem
	if r.history {
		if history, err = s.daemon.imageHistory(ctx, in.ID); err != nil && !isNotFound(err) {
			r.err = err
			return
		}
	}
	r.image, r.info, r.err = mapImage(&in, history, s.opts.Env)
}

// fetchLists asks for both lists at once. That of images may fail without harm to the containers.
func (s *session) fetchLists(ctx context.Context) (lists, error) {
	var l lists
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				l.imagesErr = fmt.Errorf("list images: panic: %v", p)
			}
		}()
		l.images, l.imagesErr = s.daemon.listImages(ctx)
	}()
	containers, err := s.daemon.listContainers(ctx, s.opts.KeepStopped)
	<-done
	l.containers = containers
	return l, err
}

// cgroupPath returns the cgroup of a container's first process below the hierarchy's root, or "" if it cannot be read or is not
// the container's: the daemon may be on another machine, or in a namespace where the number means another process.
func cgroupPath(procRoot string, pid int, id string) string {
	f, err := os.Open(filepath.Join(procRoot, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return ""
	}
	defer f.Close()             // only read from
	lines, _ := cgroup.Parse(f) // lines that can be read are enough
	for _, line := range lines {
		if strings.Contains(line.Path, id) {
			return line.Path
		}
	}
	return ""
}
