package cri

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/image"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ID is the collector's name in status and configuration.
const ID = "cri"

// rank is the collector's among those that describe containers: a runtime's own interface tells
// more, and earlier, than the CRI, which is polled.
const rank = 20

// Collector reports the containers and images of one runtime. Create one with [New]. It implements
// [workloadmeta.Puller]. Detect and Stats may be called at any time.
type Collector struct {
	opts     Options
	sockets  []string // where to look without an option
	docker   []string // Docker's sockets
	counters *counters
	now      func() time.Time // of the clock by which things are asked for again
	dial     func(ctx context.Context, network, address string) (net.Conn, error)

	// The decoders of what runtimes do not agree on. A test makes one panic.
	decodeContainer func(info map[string]string, o *Options) (detail, error)
	decodeImage     func(info map[string]string, o *Options) (imageDetail, error)

	pulling atomic.Bool
	// What follows belongs to Pull.
	peer       *peer  // nil = has to be asked for
	path       string // of the default socket in use; "" = has to be looked for
	lists      lists
	pulls      uint64
	containers map[string]*container
	gone       []*container // not listed any more, which has not been told yet
	sandboxes  map[string]*sandbox
	images     images
}

var _ workloadmeta.Puller = (*Collector)(nil)

// peer is who answers at a socket.
type peer struct {
	path    string
	socket  os.FileInfo
	runtime workloadmeta.ContainerRuntime
}

// New returns a collector. It does not connect. An option that makes no sense is an error that
// names it.
func New(o Options) (*Collector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Collector{
		opts: o, sockets: mapping.Candidates(DefaultSockets()), docker: dockerSockets(),
		counters: newCounters(), now: time.Now, dial: new(net.Dialer).DialContext,
		decodeContainer: decodeContainer, decodeImage: decodeImage,
		containers: map[string]*container{}, sandboxes: map[string]*sandbox{}, images: newImages(),
	}
	if o.UseContainerd {
		c.sockets = append(c.sockets, mapping.Candidates(ContainerdSockets())...)
	}
	return c, nil
}

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description {
	d := description
	if c.opts.NoImages {
		d.Kinds = []workloadmeta.Kind{workloadmeta.KindContainer}
		d.Omits = mapping.NoImages()
	}
	return d
}

// Pull implements [workloadmeta.Puller]. Everything it has started has ended when it returns, which
// it does soon after ctx ends, whatever the runtime does. One Pull runs at a time.
func (c *Collector) Pull(ctx context.Context, sink workloadmeta.Sink) error {
	if !c.pulling.CompareAndSwap(false, true) {
		return errors.New("cri collector: Pull is running already")
	}
	defer c.pulling.Store(false)
	c.counters.update(func(s *Stats) { s.Pulls++ })
	path := c.opts.Socket
	if path == "" {
		if c.path == "" {
			found, detection := c.find(ctx)
			if found == "" {
				return detection.Err()
			}
			c.path = found
		}
		path = c.path
	}
	r, err := c.newClient(path)
	if err != nil {
		return err
	}
	defer r.close()
	if err := c.pull(ctx, r, sink); err != nil {
		c.path, c.peer, c.lists = "", nil, lists{} // who answers next may be somebody else
		return err
	}
	return nil
}

func (c *Collector) pull(ctx context.Context, r *client, sink workloadmeta.Sink) error {
	var containers []*runtimeapi.Container
	var sandboxes []*runtimeapi.PodSandbox
	var err error
	asks := !c.now().Before(c.lists.next)
	if asks {
		containers, sandboxes, err = c.lists.ask(ctx, r, c.opts.Workers, c.now())
	} else {
		_, err = r.version(ctx) // it is still there
	}
	if err != nil {
		return err
	}
	// Not before the lists: a failure that lasts then has the same text each time, and is logged
	// once.
	if err := c.meet(ctx, r); err != nil {
		return err
	}
	if asks {
		c.pulls++
		c.take(containers, sandboxes)
	}

	// Images are asked for when they have been listed, with what time is left, and each pull gets
	// on with some of them.
	until := time.Now().Add(c.opts.StatusWait)
	now := c.now()
	c.work(ctx, c.statusJobs(r, now), until)
	c.work(ctx, c.imageJobs(r, now), until)
	if ctx.Err() != nil {
		return fmt.Errorf("ask the runtime at %s for statuses: %w", r.path, context.Cause(ctx))
	}
	c.report(sink)
	return nil
}

// meet asks who answers at the socket, unless that is known and the socket is still the same.
func (c *Collector) meet(ctx context.Context, r *client) error {
	socket, err := os.Stat(r.path)
	if err != nil {
		// removed since the lists were read
		return fmt.Errorf("look at the socket of the runtime: %w", err)
	}
	if p := c.peer; p != nil && p.path == r.path && sameSocket(p.socket, socket) {
		return nil
	}
	v, err := r.version(ctx)
	if err != nil {
		return err
	}
	if c.peer != nil {
		c.lists = lists{} // it has started since, perhaps as another version
	}
	name := strings.ToLower(v.GetRuntimeName())
	c.peer = &peer{path: r.path, socket: socket, runtime: workloadmeta.ContainerRuntime(name)}
	c.counters.update(func(s *Stats) {
		s.Runtime = strings.TrimSpace(name + " " + v.GetRuntimeVersion())
	})
	return nil
}

// sameSocket reports whether nobody has replaced the socket. Its inode number alone may be used
// again.
func sameSocket(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime())
}

// take notes what the lists have and forgets what they have not.
func (c *Collector) take(containers []*runtimeapi.Container, sandboxes []*runtimeapi.PodSandbox) {
	unreadable := 0
	for _, in := range sandboxes {
		if in.GetId() == "" {
			unreadable++
			continue
		}
		s := c.sandboxes[in.Id]
		if s == nil {
			s = &sandbox{}
			c.sandboxes[in.Id] = s
		}
		s.take(in)
		s.pull, s.used = c.pulls, false
	}
	for _, in := range containers {
		if in.GetId() == "" {
			unreadable++
			continue
		}
		k := c.containers[in.Id]
		if k == nil {
			k = &container{id: in.Id}
			c.containers[in.Id] = k
		}
		k.take(in)
		k.pull = c.pulls
		if s := c.sandboxes[k.listed.sandbox]; s != nil {
			s.used = true
		}
	}
	for id, k := range c.containers {
		if k.pull != c.pulls {
			delete(c.containers, id)
			c.gone = append(c.gone, k)
		}
	}
	for id, s := range c.sandboxes {
		if s.pull != c.pulls {
			delete(c.sandboxes, id)
		}
	}
	if unreadable > 0 {
		c.counters.update(func(s *Stats) { s.DecodeErrors += unreadable })
	}
}

// statusJobs are the list of images and the questions about containers and sandboxes that are due,
// in the order of their use to others if there is no time for all of them.
func (c *Collector) statusJobs(r *client, now time.Time) []job {
	var jobs []job
	if c.images.due(c, now) {
		jobs = append(jobs, c.images.listJob(c, r))
	}
	for _, k := range c.containers {
		if !k.wants() || !k.tries.due(now) {
			continue
		}
		jobs = append(jobs, job{&k.tries, c.containerJob(r, k, k.wantsDetail())})
	}
	for id, s := range c.sandboxes {
		if !s.wants() || !s.tries.due(now) {
			continue
		}
		jobs = append(jobs,
			job{&s.tries, func(ctx context.Context, timeout time.Duration) (func(), error) {
				answer, err := r.sandboxStatus(ctx, timeout, id)
				if err != nil {
					return nil, err
				}
				status := readSandboxStatus(answer)
				return func() { s.status = &status }, nil
			}})
	}
	return jobs
}

func (c *Collector) containerJob(r *client, k *container, verbose bool) func(context.Context,
	time.Duration) (func(), error) {
	return func(ctx context.Context, timeout time.Duration) (func(), error) {
		answer, err := r.containerStatus(ctx, timeout, k.id, verbose)
		if err != nil {
			return nil, err
		}
		status := readStatus(answer.Status)
		var known *detail
		if verbose {
			d, err := c.decodeContainer(answer.Info, &c.opts)
			c.unreadable("container", k.id, err)
			known = &d // also if there is nothing in it: the next answer would be the same
		}
		return func() { k.answer(status, known) }, nil
	}
}

// unreadable notes that a part of an answer could not be read.
func (c *Collector) unreadable(what, id string, err error) {
	if err == nil {
		return
	}
	c.counters.update(func(s *Stats) { s.DecodeErrors++ })
	c.opts.Log.Debug("cannot read all of the runtime's verbose answer", what, id, "error", err)
}

// report hands over everything that is known. The ends come first: who follows may have the same
// name.
func (c *Collector) report(sink workloadmeta.Sink) {
	for _, k := range c.gone {
		if k.reported && c.containers[k.id] == nil {
			sink.Unset(k.end())
		}
	}
	c.gone = nil
	var entities []workloadmeta.Entity
	unanswered := 0
	if !c.opts.NoImages {
		for _, i := range c.images.known {
			entities = append(entities, i.entity)
			if i.detail == nil {
				unanswered++
			}
		}
	}
	images := len(entities)
	for _, k := range c.containers {
		if k.wants() {
			unanswered++
		}
		if e := c.entityOf(k); !k.sandbox && (c.opts.KeepPause || !image.IsPause(e.Image.Name)) {
			k.reported = true
			entities = append(entities, e)
		}
	}
	if len(entities) > 0 {
		sink.Set(entities...)
	}
	c.counters.update(func(s *Stats) {
		s.Containers, s.Images, s.Unanswered, s.LastPull = len(entities)-images, images, unanswered,
			time.Now()
	})
}

// entityOf returns the container as an entity: the one of the pull before if nothing has changed.
func (c *Collector) entityOf(k *container) *workloadmeta.Container {
	e := k.build(c.peer.runtime, c.sandboxes[k.listed.sandbox], c.opts.ProcRoot)
	e.Image = k.shared.Set(k.image(&c.images))
	k.withImageLabels(&c.images, e)
	if k.entity == nil || !k.entity.Equal(e) {
		k.entity = e
	}
	return k.entity
}

// isSandbox reports whether labels are those of a sandbox, which no list of containers should have.
func isSandbox(labels map[string]string) bool { return mapping.IsSandbox(labels) }
