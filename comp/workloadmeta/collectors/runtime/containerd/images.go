package containerd

import (
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

// index knows which image a name stands for, in each namespace. containerd has names only, each
// with a target, and one image has typically three: repo:tag, repo@sha256:… and sha256:….
//
// Names are keys like "k8s.io/registry.test/shop/web:1", the namespace before the first slash. Its
// methods may be called by several goroutines. What several answers and events tell at the same
// time is put in order by a clock: an answer that was asked for before the last event about a name
// does not count for that name.
type index struct {
	mu     sync.Mutex // guards the fields below
	clock  uint64
	names  map[string]named
	images map[string]*indexed
	// lastEvents has the clock at the last event about a name.
	lastEvents *simplelru.LRU[string, uint64]
	// seq orders what the index has answered about an image.
	seq uint64
}

// named is what a name stands for.
type named struct {
	id     string
	target string // digest
	labels map[string]string
	asked  uint64 // the clock when containerd was asked
}

type indexed struct {
	content *content
	names   map[string]struct{}
}

const maxLastEvents = 4096

func newIndex() *index {
	lastEvents, err := simplelru.NewLRU[string, uint64](maxLastEvents, nil)
	if err != nil {
		panic(err) // the size is not positive
	}
	return &index{names: map[string]named{}, images: map[string]*indexed{}, lastEvents: lastEvents}
}

// event notes that something happened to a name.
func (x *index) event(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.clock++
	x.lastEvents.Add(name, x.clock)
}

// now is what to give to attach, detach and replace: the time at which containerd was asked.
func (x *index) now() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.clock
}

// id returns the image that a name stands for, "" if that is not known, or not since the last event
// about it, or only by its manifest's digest.
func (x *index) id(name string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.names[name]
	if x.overtaken(name, n.asked) || x.images[n.id] == nil || !x.images[n.id].content.identified {
		return ""
	}
	return n.id
}

// has reports whether a name stands for an image with this target.
func (x *index) has(name, target string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, ok := x.names[name]
	return ok && n.target == target
}

// content returns what is known of a name's image if its target is still the same, or that nothing
// but the target is.
func (x *index) content(name, target string) *content {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n, ok := x.names[name]; ok && n.target == target {
		return x.images[n.id].content
	}
	return &content{id: target}
}

// overtaken reports whether an event has told of the name since asked. The caller holds mu.
func (x *index) overtaken(name string, asked uint64) bool {
	at, ok := x.lastEvents.Peek(name)
	return ok && at > asked
}

// attach notes what a name stands for. It reports false if something happened to the name since
// asked.
func (x *index) attach(name string, n named, c *content, asked uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.overtaken(name, asked) {
		return false
	}
	n.asked = asked
	x.set(name, n, c)
	return true
}

func (x *index) set(name string, n named, c *content) {
	if old, ok := x.names[name]; ok && old.id != n.id {
		x.unset(name)
	}
	i := x.images[n.id]
	if i == nil {
		i = &indexed{names: map[string]struct{}{}}
		x.images[n.id] = i
	}
	if i.content == nil || c.complete || !i.content.complete {
		i.content = c
	}
	i.names[name] = struct{}{}
	x.names[name] = n
}

func (x *index) unset(name string) {
	n, ok := x.names[name]
	if !ok {
		return
	}
	delete(x.names, name)
	if i := x.images[n.id]; i != nil {
		if delete(i.names, name); len(i.names) == 0 {
			delete(x.images, n.id)
		}
	}
}

// detach notes that a name is gone and returns the image it stood for, "" if none.
func (x *index) detach(name string, asked uint64) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	id := x.names[name].id
	if !x.overtaken(name, asked) {
		x.unset(name)
	}
	return id
}

// entry is a name in a list of all.
type entry struct {
	name string
	named
	content *content
}

// replace makes the list everything there is. Names that something happened to since the list was
// asked for stay as they are.
func (x *index) replace(entries []entry, asked uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	listed := make(map[string]struct{}, len(entries))
	for i := range entries {
		e := &entries[i]
		listed[e.name] = struct{}{}
		if !x.overtaken(e.name, asked) {
			e.asked = asked
			x.set(e.name, e.named, e.content)
		}
	}
	for name := range x.names {
		if _, ok := listed[name]; !ok && !x.overtaken(name, asked) {
			x.unset(name)
		}
	}
}

// image returns an image under the names it has now. It reports false if it has none.
func (x *index) image(id string) (runtimesync.Image, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seq++
	i := x.images[id]
	if i == nil {
		e := &workloadmeta.ContainerImageMetadata{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: id}}
		return runtimesync.Image{Entity: e, Seq: x.seq}, false
	}
	return runtimesync.Image{Entity: x.entity(id, i), Complete: true, Seq: x.seq}, true
}

// all returns all images.
func (x *index) all() []runtimesync.Image {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make([]runtimesync.Image, 0, len(x.images))
	for id, i := range x.images {
		x.seq++
		out = append(out, runtimesync.Image{Entity: x.entity(id, i), Complete: true, Seq: x.seq})
	}
	return out
}

// entity makes an image of its content and its names. The caller holds mu.
func (x *index) entity(id string, i *indexed) *workloadmeta.ContainerImageMetadata {
	var tags, digests []string
	var labels map[string]string
	names := make([]string, 0, len(i.names))
	for name := range i.names {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		_, ref, _ := strings.Cut(name, "/")
		n := x.names[name]
		for key, value := range mapping.Metadata(n.labels) {
			mapping.Put(&labels, key, value)
		}
		tag, digest := refNames(ref, n.target)
		if tag != "" {
			tags = append(tags, tag)
		}
		if digest != "" {
			digests = append(digests, digest)
		}
	}
	n := mapping.NewImageNames(id, tags, digests)
	e := n.NewImage()
	c := i.content
	for key, value := range mapping.Metadata(c.labels) {
		mapping.Put(&labels, key, value)
	}
	e.Labels = labels
	e.MediaType, e.SizeBytes = c.mediaType, c.size
	e.OS, e.OSVersion, e.Architecture, e.Variant = c.os, c.osVersion, c.architecture, c.variant
	e.Layers = c.layers
	return e
}

// refNames says what a name in containerd's image store is in the image's entity: a tag and the
// digest that the tag's repository knows it by, a digest, or nothing where it is an ID.
func refNames(ref, target string) (tag, digest string) {
	r, err := image.Split(ref)
	switch {
	case err != nil: // an ID
		return "", ""
	case r.Digest != "":
		return "", r.Name + "@" + r.Digest
	}
	if strings.HasPrefix(target, "sha256:") {
		digest = r.Name + "@" + target
	}
	return ref, digest
}

// isTransient reports whether a name is one that an import gives to what it is about to name.
func isTransient(ref string) bool { return strings.HasPrefix(ref, "import-") }
