package podman

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/golang-lru/v2"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
)

// errDocker says that something else than Podman answers: with DOCKER_HOST, usually a Docker
// daemon.
var errDocker = errors.New("not podman answers; docker is collected by the docker collector")

const (
	maxAnswer  = 256 << 20 // bytes of one answer
	maxExposed = 256       // images of which the exposed ports are remembered
	// An inspection that finds a container ended which its policy starts again looks again until it
	// has been started or this often. Podman starts it again at once, in about 0.1 s; together it
	// must stay below the second that package runtimesync waits.
	restartLooks = 5
	restartPause = 150 * time.Millisecond
	// lostAfter is how long a container's process must have been gone before Podman is not believed
	// any more. Usually it needs a fraction of a second to see that a container has ended, and
	// tells with which code.
	lostAfter = 5 * time.Second
)

// service is a connection to one Podman service. It implements [runtimesync.Client].
type service struct {
	address address
	opts    *Options
	log     *slog.Logger
	http    *http.Client
	decode  func(line []byte) (*message, error)

	// What connect has found out.
	api       string    // prefix of the paths that are Podman's own: v4.0.0/libpod
	version   string    // of Podman
	major     int       // of version
	connected time.Time // by the service's clock
	uid       int       // whose service it is; 0 also where that is not known
	procs     processes // the processes it tells of, if they can be seen

	exposed *lru.Cache[string, []workloadmeta.ContainerPort] // by image; an image never changes

	mu   sync.Mutex        // guards the fields below, which List brings up to date
	pods map[string]string // names by ID
	// checked are the containers with a health check that an inspection has found.
	checked map[string]struct{}
	// missed has since when containers that are said to run have no process.
	missed map[string]time.Time
}

var _ runtimesync.Client = (*service)(nil)

// newService prepares a connection. It does not connect.
func newService(a address, o *Options, log *slog.Logger) *service {
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	exposed, err := lru.New[string, []workloadmeta.ContainerPort](maxExposed)
	if err != nil {
		panic(err) // the size is not positive
	}
	return &service{
		address: a, opts: o, log: log, decode: decodeEvent, exposed: exposed,
		pods: map[string]string{}, checked: map[string]struct{}{}, missed: map[string]time.Time{},
		http: &http.Client{
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return dial(ctx, a.network, a.target)
				},
				MaxIdleConnsPerHost: o.Workers + 1,
				IdleConnTimeout:     30 * time.Second,
			},
			CheckRedirect: func(*http.Request,
				[]*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
	}
}

func (s *service) close() { s.http.CloseIdleConnections() }

// connect proves that Podman answers. No other call may run meanwhile.
func (s *service) connect(ctx context.Context) error {
	begin := time.Now()
	head, err := s.ping(ctx)
	if err != nil {
		return err
	}
	s.version = head.Get("Libpod-Api-Version")
	if s.version == "" {
		return fmt.Errorf("ping podman at %s: %w", s.address, errDocker)
	}
	// Podman 5 answers to version 4 of its interface as well, and what is read here is the same in
	// both. It is assumed that the next one does likewise with the one before it.
	major, _, _ := strings.Cut(s.version, ".")
	if s.major, err = strconv.Atoi(major); err != nil {
		return fmt.Errorf("ping podman at %s: what kind of version is %q", s.address, s.version)
	}
	s.api = fmt.Sprintf("/v%d.0.0/libpod/", max(min(s.major, 4), s.major-1))
	s.connected = begin
	if date, err := http.ParseTime(head.Get("Date")); err == nil {
		s.connected = date
	}
	if s.address.network == "unix" && s.opts.Dial == nil {
		s.uid = ownerOf(s.address.target)
		s.procs = s.findProcesses(ctx)
	}
	return nil
}

func (s *service) ping(ctx context.Context) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CallTimeout)
	defer cancel()
	resp, err := s.get(ctx, "/libpod/_ping", nil)
	if isDockerAnswer(err) {
		return nil, fmt.Errorf("ping podman at %s: %w", s.address, errDocker)
	}
	if err != nil {
		return nil, fmt.Errorf("ping podman at %s: %w", s.address, err)
	}
	defer resp.Body.Close()                              // only read from
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1024)) //nolint:errcheck // the status said it all
	return resp.Header, nil
}

// Ping implements [runtimesync.Client].
func (s *service) Ping(ctx context.Context) error {
	_, err := s.ping(ctx)
	return err
}

// statusError is an answer that is an error.
type statusError struct {
	status  int
	message string
	podman  bool
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the service answers %d: %s", e.status, e.message)
}

// Is makes a statusError one of those that package errdefs knows. A container that is removed while
// Podman looks at it is an internal error to Podman.
func (e *statusError) Is(target error) bool {
	return target == errdefs.ErrNotFound && (e.status == http.StatusNotFound ||
		e.status == http.StatusInternalServerError &&
			strings.HasSuffix(e.message, "no such container"))
}

func isDockerAnswer(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.status == http.StatusNotFound && !e.podman
}

// get sends a request and returns an answer that is none of an error.
func (s *service) get(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	u := "http://d" + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		if noise, ok := errors.AsType[*url.Error](err); ok {
			err = noise.Err // the URL is made up and would only puzzle
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close() // only read from
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	var answer struct{ Message string }
	if json.Unmarshal(text, &answer) != nil || answer.Message == "" {
		answer.Message = strings.TrimSpace(string(text))
	}
	return nil, &statusError{resp.StatusCode, answer.Message,
		resp.Header.Get("Libpod-Api-Version") != ""}
}

// ask asks for one of Podman's own resources and reads the answer.
func (s *service) ask(ctx context.Context, what, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CallTimeout)
	defer cancel()
	resp, err := s.get(ctx, s.api+path, query)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer resp.Body.Close() // only read from
	if err := mapping.LenientJSON(
		json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into)); err != nil {
		return fmt.Errorf("%s: read the answer: %w", what, err)
	}
	return nil
}

// List implements [runtimesync.Client]: it asks for both lists at once. That of images may fail
// without harm to the containers.
func (s *service) List(ctx context.Context) (runtimesync.Listing, error) {
	l := runtimesync.Listing{}
	var images []imageEntry
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				l.ImagesErr = fmt.Errorf("list images: panic: %v", p)
			}
		}()
		l.ImagesErr = s.ask(ctx, "list images", "images/json", nil, &images)
	}()
	var containers []containerEntry
	// Without "all" containers that are paused or being stopped are missing.
	err := s.ask(ctx, "list containers", "containers/json", url.Values{"all": {"true"}},
		&containers)
	<-done
	if err != nil {
		return l, err
	}
	pods := map[string]string{}
	listed := map[string]struct{}{}
	for i := range containers {
		in := &containers[i]
		c, err := mapList(in)
		if err != nil {
			l.Problems = append(l.Problems, err)
			continue
		}
		listed[in.ID] = struct{}{}
		if in.Pod != "" && in.PodName != "" {
			pods[in.Pod] = in.PodName
		}
		s.complete(c.Entity)
		l.Containers = append(l.Containers, c)
	}
	for i := range images {
		e, err := mapImageList(&images[i])
		if err != nil {
			l.Problems = append(l.Problems, err)
			continue
		}
		l.Images = append(l.Images, runtimesync.Image{Entity: e})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods = pods
	for id := range s.checked {
		if _, ok := listed[id]; !ok {
			delete(s.checked, id)
		}
	}
	for id := range s.missed {
		if _, ok := listed[id]; !ok {
			delete(s.missed, id)
		}
	}
	return l, nil
}

// complete adds what is known from elsewhere, in the same way to what lists and inspections tell:
// otherwise they would differ for ever.
func (s *service) complete(c *workloadmeta.Container) {
	if s.uid != 0 {
		mapping.Put(&c.Annotations, annotationUID, strconv.Itoa(s.uid))
	}
	if c.PID == 0 {
		return
	}
	gone := s.procs.gone(c.PID, c.ID)
	now := time.Now()
	s.mu.Lock()
	since, missed := s.missed[c.ID]
	switch {
	case !gone:
		delete(s.missed, c.ID)
	case !missed:
		s.missed[c.ID] = now
	}
	s.mu.Unlock()
	if gone && missed && now.Sub(since) >= lostAfter {
		lost(c)
	}
}

// Inspect implements [runtimesync.Client].
func (s *service) Inspect(ctx context.Context, id string) (runtimesync.Container, error) {
	var in *containerAnswer
	for look := 0; ; look++ {
		in = new(containerAnswer)
		if err := s.ask(ctx, "inspect container "+id, "containers/"+url.PathEscape(id)+"/json", nil,
			in); err != nil {
			return runtimesync.Container{}, err
		}
		if look == restartLooks || !in.restarts() || !s.recent(in.State.FinishedAt) {
			break
		}
		select {
		case <-time.After(restartPause):
		case <-ctx.Done():
			return runtimesync.Container{}, ctx.Err()
		}
	}
	out, err := mapInspect(in, s.opts.Env)
	if err != nil {
		return runtimesync.Container{}, err
	}
	c := out.Entity
	c.CgroupInode = s.procs.inode(c.PID, c.CgroupPath)
	s.complete(c)
	s.note(in)
	if in.Pod != "" {
		mapping.Put(&c.Labels, labelPodName, s.podName(ctx, in.Pod))
	}
	if len(c.Ports) == 0 && len(in.Config.ExposedPorts) == 0 && c.Image.ID != "" {
		c.Ports = s.exposedPorts(ctx, c.Image.ID)
	}
	return out, nil
}

// recent reports whether a container has ended only just now, by the service's clock or ours,
// whichever makes it so. If both are wrong an end is reported a moment early.
func (s *service) recent(finished string) bool {
	at := mapping.ParseTime(finished)
	return !at.IsZero() && time.Since(at).Abs() < 2*time.Second
}

// note remembers whether a container has a health check.
func (s *service) note(in *containerAnswer) {
	has := false
	for _, h := range []*healthAnswer{in.State.Health, in.State.Healthcheck} {
		has = has || h != nil && h.Status != ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if has && status(in.State.Status) == workloadmeta.StatusRunning {
		s.checked[in.ID] = struct{}{}
	} else {
		delete(s.checked, in.ID)
	}
}

// podName returns a pod's name, or "" if it cannot be had now: the next list will tell.
func (s *service) podName(ctx context.Context, id string) string {
	s.mu.Lock()
	name, ok := s.pods[id]
	s.mu.Unlock()
	if ok {
		return name
	}
	var pod podAnswer
	if err := s.ask(ctx, "inspect pod "+id, "pods/"+url.PathEscape(id)+"/json", nil,
		&pod); err != nil {
		s.log.Debug("the name of a pod is not known", "error", err)
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods[id] = pod.Name
	return pod.Name
}

// exposedPorts returns the ports that an image exposes. Podman 4 does not tell them of a container
// without a network of its own.
func (s *service) exposedPorts(ctx context.Context, id string) []workloadmeta.ContainerPort {
	if ports, ok := s.exposed.Get(id); ok {
		return ports
	}
	in, err := s.askImage(ctx, id)
	if err != nil {
		s.log.Debug("the ports of an image are not known", "error", err)
		return nil
	}
	return mapPorts(nil, in.Config.ExposedPorts)
}

func (s *service) askImage(ctx context.Context, ref string) (*imageAnswer, error) {
	in := new(imageAnswer)
	if err := s.ask(ctx, "inspect image "+ref, "images/"+url.PathEscape(ref)+"/json", nil,
		in); err != nil {
		return nil, err
	}
	s.exposed.Add(mapping.ImageID(in.ID), mapPorts(nil, in.Config.ExposedPorts))
	return in, nil
}

// InspectImage implements [runtimesync.Client].
func (s *service) InspectImage(ctx context.Context, ref string, _ bool) (runtimesync.Image, error) {
	in, err := s.askImage(ctx, ref)
	if err != nil {
		if errdefs.IsNotFound(err) && mapping.IsFullImageID(ref) {
			// Podman tells of each name that goes as if it were the image; this was the last.
			names := mapping.NewImageNames(ref, nil, nil)
			return runtimesync.Image{Entity: names.NewImage()}, err
		}
		return runtimesync.Image{}, err
	}
	e, err := mapImage(in, s.opts.Env)
	return runtimesync.Image{Entity: e, Complete: true}, err
}
