package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
)

// endWait is how long to wait for the event that tells how a task has ended which is not there any
// more.
const endWait = 300 * time.Millisecond

// backend is a connection to containerd as package runtimesync wants it.
type backend struct {
	*daemon
	*shared
	opts *Options
}

// shared is what outlives a connection.
type shared struct {
	scope     scope
	memory    *memory
	index     *index
	sandboxes *sandboxes
	contents  *contents
	reader    reader
	mapper    mapper
}

// Ping implements [runtimesync.Client].
func (b *backend) Ping(ctx context.Context) error {
	if b.replaced() {
		return fmt.Errorf("another socket is at %s now", b.socket)
	}
	_, err := b.version(ctx)
	return err
}

// List implements [runtimesync.Client].
func (b *backend) List(ctx context.Context) (runtimesync.Listing, error) {
	if b.replaced() {
		return runtimesync.Listing{}, fmt.Errorf("another socket is at %s now", b.socket)
	}
	names := b.scope.only
	if len(names) == 0 {
		var err error
		if names, err = b.listNamespaces(ctx); err != nil {
			return runtimesync.Listing{}, err
		}
	}
	var wanted []string
	for _, ns := range names {
		if b.scope.wants(ns) {
			wanted = append(wanted, ns)
		}
	}
	l := runtimesync.Listing{AllImages: true}
	// Images first: a container's is found by its name.
	if l.ImagesErr = b.listAllImages(ctx, wanted); l.ImagesErr == nil {
		l.Images = b.index.all()
	}
	for _, ns := range wanted {
		found, err := b.listNamespace(ctx, ns)
		if err != nil {
			return l, err
		}
		l.Containers = append(l.Containers, found...)
	}
	return l, nil
}

// listNamespace returns the containers of a namespace: one request for them, one for their tasks,
// and one more for each that seems to have no task although nobody has told of its end.
func (b *backend) listNamespace(ctx context.Context, ns string) ([]runtimesync.Container, error) {
	all, err := b.listContainers(ctx, ns)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, nil
	}
	tasks, err := b.listTasks(ctx, ns)
	if err != nil {
		if ctx.Err() != nil || errdefs.IsUnavailable(err) {
			return nil, err
		}
		b.log().Warn("tasks cannot be listed; they are asked for one by one", "error", err)
	}
	processes := make(map[string]*task.Process, len(tasks))
	for _, p := range tasks {
		processes[p.ID] = p
	}
	for i := range all {
		if mapping.IsSandbox(all[i].Labels) {
			b.sandboxes.learn(ns, &all[i])
		}
	}
	records := make([]record, len(all))
	for i := range all {
		r := record{namespace: ns, Container: all[i], process: processes[all[i].ID]}
		if r.process != nil && r.process.Status == task.Status_UNKNOWN {
			r.process, r.hung = nil, true
		}
		records[i] = r
	}
	b.findTasks(ctx, records)

	looked := map[string]found{}
	out := make([]runtimesync.Container, 0, len(all))
	for i := range records {
		r := &records[i]
		problem := b.complete(ctx, r, looked)
		c, err := b.mapper.container(r)
		b.noteParts(problem, err)
		out = append(out, c)
	}
	return out, nil
}

func (b *backend) log() *slog.Logger { return b.opts.Log.With("collector", b.opts.ID) }

// noteParts logs what of a container could not be read. It is not worth more than that: the
// container is reported without it.
func (b *backend) noteParts(problems ...error) {
	if err := errors.Join(problems...); err != nil {
		b.log().Debug("a part of a container cannot be read", "error", err)
	}
}

// findTasks asks for the tasks that a list should have had. Where the list could not be had at all,
// that is all of them.
func (b *backend) findTasks(ctx context.Context, records []record) {
	ended := make([]life, len(records)) // by record; zero where there is nothing to wait for
	slots := make(chan struct{}, b.opts.Workers)
	var wait sync.WaitGroup
	for i := range records {
		r := &records[i]
		if r.process != nil || r.hung {
			continue
		}
		if f := b.memory.of(keyOf(r.namespace, r.ID)); f.end != nil || f.idle {
			continue
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			defer func() {
				if p := recover(); p != nil {
					b.log().Error("panic while asking for a task", "container", r.ID, "panic", p)
					r.hung = true
				}
			}()
			var err error
			ended[i], err = b.findTask(ctx, r)
			r.hung = err != nil
		})
	}
	wait.Wait()
	b.awaitEnds(ctx, ended...)
}

// findTask asks for a container's task. One whose helper process, the shim, does not answer is an
// error: containerd tells nothing of such a task but that it is there. If there is none although
// one was started, and no event has told of its end yet, it is returned.
func (b *backend) findTask(ctx context.Context, r *record) (ended life, err error) {
	key := keyOf(r.namespace, r.ID)
	p, err := b.getTask(ctx, r.namespace, r.ID)
	switch {
	case err == nil && p.GetStatus() == task.Status_UNKNOWN:
		return life{}, fmt.Errorf("the task of container %s does not answer: %w", key,
			context.DeadlineExceeded)
	case err == nil:
		r.process = p
		return life{}, nil
	case !errdefs.IsNotFound(err):
		return life{}, err
	}
	f := b.memory.update(key, func(f *facts) { f.idle = f.pid == 0 })
	if f.idle || f.end != nil {
		return life{}, nil
	}
	return life{key, f.pid}, nil
}

// life is one life of a container.
type life struct {
	key string
	pid int
}

// awaitEnds gives the events that tell of these lives' ends a moment to come: an answer may
// overtake an event. What has not been told by then has ended nobody knows how.
func (b *backend) awaitEnds(ctx context.Context, lives ...life) {
	goesOn := func(l life) bool {
		f := b.memory.of(l.key)
		return l.key != "" && f.pid == l.pid && f.end == nil
	}
	for until := time.Now().Add(endWait); ; {
		lives = slices.DeleteFunc(lives, func(l life) bool { return !goesOn(l) })
		if len(lives) == 0 {
			return
		}
		if !time.Now().Before(until) {
			break
		}
		select {
		case <-time.After(endWait / 30):
		case <-ctx.Done():
			return
		}
	}
	for _, l := range lives {
		b.memory.update(l.key, func(f *facts) {
			if f.pid == l.pid && f.end == nil {
				f.end = &end{}
			}
		})
	}
}

// complete finds what a record lacks: what events have told, the pod's sandbox and the image's ID.
// Its error is about a part. looked has the names that were looked up already, which are not looked
// up again for each container.
func (b *backend) complete(ctx context.Context, r *record, looked map[string]found) error {
	key := keyOf(r.namespace, r.ID)
	r.facts = b.memory.update(key, func(f *facts) {
		if !f.record.IsZero() && !f.record.Equal(r.CreatedAt) {
			*f = facts{} // another container under the same ID
		}
		f.record = r.CreatedAt
	})
	var err error
	if r.Labels[labelCRIKind] == "container" {
		cri, _ := readCRI(&r.Container) // the mapping tells what is wrong with it
		if cri != nil {
			r.sandbox, err = b.sandboxOf(ctx, r.namespace, cri.Metadata.SandboxID)
			if id := mapping.ImageID(cri.Metadata.ImageRef); mapping.IsFullImageID(id) {
				return err // the image that it was made of, whatever its name means now
			}
		}
	}
	if r.facts.imageID != "" || r.facts.noImage || r.Image == "" {
		return err
	}
	name := keyOf(r.namespace, r.Image)
	id := b.index.id(name)
	if id == "" {
		found, ok := looked[name]
		if !ok {
			found.id, found.err = b.lookUp(ctx, r.namespace, r.Image)
			if found.err == nil {
				found.id = b.index.id(name)
			}
			looked[name] = found
		}
		if found.err != nil && !errdefs.IsNotFound(found.err) {
			return errors.Join(err, found.err)
		}
		if id = found.id; id == "" && found.err == nil {
			return err // which image it is nobody can tell while its manifest is missing
		}
	}
	r.facts = b.memory.update(key, func(f *facts) { f.imageID, f.noImage = id, id == "" })
	return err
}

// found is what looking up a name has come to.
type found struct {
	id  string
	err error
}

// Inspect implements [runtimesync.Client]: two requests, and a few more if the pod's sandbox or the
// image are not known.
func (b *backend) Inspect(ctx context.Context, key string) (runtimesync.Container, error) {
	ns, id, _ := strings.Cut(key, "/")
	if !b.scope.wants(ns) {
		return runtimesync.Container{}, fmt.Errorf("namespace %s: %w", ns,
			runtimesync.ErrNotCollected)
	}
	c, err := b.getContainer(ctx, ns, id)
	if err != nil {
		return runtimesync.Container{}, err
	}
	r := record{namespace: ns, Container: c}
	if mapping.IsSandbox(c.Labels) {
		b.sandboxes.learn(ns, &c)
	}
	ended, err := b.findTask(ctx, &r)
	if err != nil {
		return runtimesync.Container{}, err
	}
	b.awaitEnds(ctx, ended)
	problem := b.complete(ctx, &r, map[string]found{})
	if problem != nil && ctx.Err() != nil {
		return runtimesync.Container{}, problem
	}
	out, err := b.mapper.container(&r)
	b.noteParts(problem, err)
	return out, nil
}

// sandboxes remembers what the containers of pods take from their sandboxes. Its methods may be
// called by several goroutines.
type sandboxes struct {
	mu    sync.Mutex // guards known
	known *simplelru.LRU[string, *sandbox]
}

const maxSandboxes = 4096

func newSandboxes() *sandboxes {
	known, err := simplelru.NewLRU[string, *sandbox](maxSandboxes, nil)
	if err != nil {
		panic(err) // the size is not positive
	}
	return &sandboxes{known: known}
}

// learn reads a sandbox's record.
func (s *sandboxes) learn(ns string, c *containers.Container) *sandbox {
	extension := c.Extensions[extensionSandbox]
	if extension == nil {
		return nil
	}
	read, err := decodeCRISandbox(extension.GetValue())
	if err != nil {
		return nil // its containers do without
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Add(keyOf(ns, c.ID), read)
	return read
}

func (s *sandboxes) get(key string) *sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, _ := s.known.Get(key)
	return found
}

func (s *sandboxes) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Remove(key)
}

// sandboxOf returns the sandbox of a pod's container, nil if there is none. It is asked for if it
// is not known, or had no address yet.
func (b *backend) sandboxOf(ctx context.Context, ns, id string) (*sandbox, error) {
	if id == "" {
		return nil, nil
	}
	if found := b.sandboxes.get(keyOf(ns, id)); found != nil &&
		(found.hostNetwork || len(found.ips) > 0) {
		return found, nil
	}
	c, err := b.getContainer(ctx, ns, id)
	switch {
	case errdefs.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return b.sandboxes.learn(ns, &c), nil
}

// contents remembers what images are made of, by the digest of what their names point to. That
// never changes, unless something was missing.
type contents struct {
	mu    sync.Mutex // guards known
	known *simplelru.LRU[string, *content]
}

const maxContents = 2048

func newContents() *contents {
	known, err := simplelru.NewLRU[string, *content](maxContents, nil)
	if err != nil {
		panic(err) // the size is not positive
	}
	return &contents{known: known}
}

// contentOf returns what an image is made of.
func (b *backend) contentOf(ctx context.Context, ns string, i *images.Image) (*content, error) {
	target := descriptor{MediaType: i.Target.MediaType, Digest: i.Target.Digest.String(),
		Size: i.Target.Size}
	b.contents.mu.Lock()
	c, ok := b.contents.known.Get(target.Digest)
	b.contents.mu.Unlock()
	if ok && c.complete {
		return c, nil
	}
	c, err := b.reader.read(ctx, target, func(ctx context.Context, d descriptor) ([]byte, error) {
		return b.blob(ctx, ns, d)
	})
	if err != nil {
		return nil, fmt.Errorf("image %s in namespace %s: %w", i.Name, ns, err)
	}
	b.contents.mu.Lock()
	defer b.contents.mu.Unlock()
	b.contents.known.Add(target.Digest, c)
	return c, nil
}

// listAllImages brings the index up to date. An image whose content cannot be read for the moment
// stays what it was.
func (b *backend) listAllImages(ctx context.Context, all []string) error {
	asked := b.index.now()
	var entries []entry
	for _, ns := range all {
		list, err := b.listImages(ctx, ns)
		if err != nil {
			return err
		}
		read := map[string]*content{} // what was missing is looked for once, not for each name
		for i := range list {
			image := &list[i]
			if isTransient(image.Name) {
				continue
			}
			target := image.Target.Digest.String()
			c := read[target]
			if c == nil {
				if c, err = b.contentOf(ctx, ns, image); err != nil {
					if ctx.Err() != nil || errdefs.IsUnavailable(err) {
						return err
					}
					b.log().Warn("an image is not up to date", "error", err)
					c = b.index.content(keyOf(ns, image.Name), target)
				}
				read[target] = c
			}
			entries = append(entries, entry{keyOf(ns, image.Name), namedAs(image, c), c})
		}
	}
	b.index.replace(entries, asked)
	return nil
}

func namedAs(i *images.Image, c *content) named {
	return named{id: c.id, target: i.Target.Digest.String(), labels: i.Labels}
}

// tries bounds how often a name is looked up again because something happened to it meanwhile.
const tries = 3

// lookUp has the index learn what a name stands for, and returns the image's ID. A name that is new
// is often one of several that are made for one image: those that are there already are learnt with
// it.
func (b *backend) lookUp(ctx context.Context, ns, name string) (id string, err error) {
	key := keyOf(ns, name)
	for range tries {
		asked := b.index.now()
		i, err := b.getImage(ctx, ns, name)
		if errdefs.IsNotFound(err) {
			return b.index.detach(key, asked), err
		}
		if err != nil {
			return "", err
		}
		c, err := b.contentOf(ctx, ns, &i)
		if err != nil {
			return "", err
		}
		target := i.Target.Digest.String()
		if !b.index.has(key, target) {
			others, err := b.listImages(ctx, ns, "target.digest=="+target)
			if err != nil {
				return "", err
			}
			for j := range others {
				if other := &others[j]; other.Name != name && !isTransient(other.Name) {
					b.index.attach(keyOf(ns, other.Name), namedAs(other, c), c, asked)
				}
			}
		}
		if b.index.attach(key, namedAs(&i, c), c, asked) {
			return c.id, nil
		}
	}
	// It changes faster than it can be asked for. Another event is on its way, and with it another
	// look.
	return "", fmt.Errorf("image %s in namespace %s keeps changing", name, ns)
}

// InspectImage implements [runtimesync.Client]. ref is an ID or, from an event, a name with its
// namespace before it.
func (b *backend) InspectImage(ctx context.Context, ref string, _ bool) (runtimesync.Image, error) {
	id := ref
	if ns, name, ok := strings.Cut(ref, "/"); ok {
		if !b.scope.wants(ns) {
			return runtimesync.Image{}, fmt.Errorf("namespace %s: %w", ns,
				runtimesync.ErrNotCollected)
		}
		var err error
		if id, err = b.lookUp(ctx, ns, name); err != nil && (id == "" || !errdefs.IsNotFound(err)) {
			return runtimesync.Image{}, err
		}
		if id == "" {
			return runtimesync.Image{}, fmt.Errorf("image %s: %w", ref, errdefs.ErrNotFound)
		}
	}
	i, ok := b.index.image(id)
	if !ok {
		return i, fmt.Errorf("image %s has no name: %w", id, errdefs.ErrNotFound)
	}
	return i, nil
}
