package runtimesync

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// known is what the collector remembers from one connection to the next, so that a reconnection
// changes only what has changed. It belongs to the goroutine of the running session.
type known struct {
	run        uint64 // counts sessions
	clock      uint64 // counts what was handled, to tell what is older than a list or an inspection
	containers map[string]*tracked
	images     map[string]*trackedImage // those that are reported
	// owners are the containers whose entity is reported under its ID. Two may have one ID, in
	// different namespaces.
	owners map[string]*tracked
	// shadowed are the others with such an ID, by ID.
	shadowed map[string]map[*tracked]struct{}
	// names has what containers need to know of images that are not in images. An entry without
	// names says that the image does not exist.
	names *simplelru.LRU[string, mapping.ImageNames]
	// users are the containers of an image.
	users map[string]map[*tracked]struct{}
	// gone has, by ID, the newest answer that an image is not there: see Image.Seq.
	gone *simplelru.LRU[string, uint64]
	// ended has containers whose end was reported, with the clock at that time.
	ended *simplelru.LRU[string, uint64]
	// created has what is known of containers that have not been started.
	created *simplelru.LRU[string, created]

	newest time.Time // the newest event's time
	// recent has the last events, to recognise those that a new connection repeats.
	recent *simplelru.LRU[string, struct{}]
}

const (
	maxNames  = 1024
	maxEnded  = 4096
	maxRecent = 8192 // dockerd repeats at most 256, Podman whatever happened in a second or two
)

func newKnown() *known {
	return &known{
		containers: map[string]*tracked{},
		images:     map[string]*trackedImage{},
		owners:     map[string]*tracked{},
		shadowed:   map[string]map[*tracked]struct{}{},
		users:      map[string]map[*tracked]struct{}{},
		names:      newLRU[string, mapping.ImageNames](maxNames),
		gone:       newLRU[string, uint64](maxNames),
		ended:      newLRU[string, uint64](maxEnded),
		created:    newLRU[string, created](maxCreated),
		recent:     newLRU[string, struct{}](maxRecent),
	}
}

func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	lru, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err) // the size is not positive
	}
	return lru
}

// tracked is a container.
type tracked struct {
	key string
	// entity is the newest full or thin view that was reported, perhaps in an earlier session; nil
	// before the first.
	entity *workloadmeta.Container
	run    uint64 // session in which entity was last reported
	// listed is the list's view, held back while an inspection that will tell more is on its way.
	listed *workloadmeta.Container
	// started is the view made of a start event or of a list, to be reported if no inspection comes
	// in time.
	started *workloadmeta.Container
	exit    *exit  // an end that an inspection is to confirm
	policy  string // restart policy, known after an inspection; "" = not known
	// touched is the clock when an event last told of the container.
	touched uint64
	// when something in it was last killed for want of memory, by the runtime's clock
	oomAt    time.Time
	changed  uint64    // the clock when entity was last changed by an event
	deadline time.Time // when to stop waiting for an inspection; zero = not waiting
	imageID  string    // under which it is in known.users
	excluded bool      // a pause container, not reported
	early    bool      // nothing but its creation has been told so far
	keep     bool      // stays while it does not run
	shadowed string    // the ID that another container is reported under; "" = none
	missing  bool      // not in the runtime's list
	gone     bool      // the runtime does not know it any more; its end has not been told yet
}

// exit is how a container ended.
type exit struct {
	code *int64 // nil = unknown
	at   time.Time
	oom  bool
}

// trackedImage is an image that is reported.
type trackedImage struct {
	entity    *workloadmeta.ContainerImageMetadata
	names     mapping.ImageNames
	seq       uint64
	run       uint64 // session in which it was last reported
	inspected bool   // entity is complete
	touched   uint64
}

// namesOf returns what is known of an image's names, nil if nothing.
func (k *known) namesOf(id string) *mapping.ImageNames {
	if t := k.images[id]; t != nil {
		return &t.names
	}
	if names, ok := k.names.Get(id); ok {
		return &names
	}
	return nil
}

// use notes which image a container is made of.
func (k *known) use(tr *tracked, id string) {
	if tr.imageID == id {
		return
	}
	k.unuse(tr)
	if id == "" {
		return
	}
	if k.users[id] == nil {
		k.users[id] = map[*tracked]struct{}{}
	}
	k.users[id][tr] = struct{}{}
	tr.imageID = id
}

// shadow notes that another container is reported under the ID of this one.
func (k *known) shadow(tr *tracked, id string) {
	if k.shadowed[id] == nil {
		k.shadowed[id] = map[*tracked]struct{}{}
	}
	k.shadowed[id][tr] = struct{}{}
	tr.shadowed = id
}

func (k *known) unshadow(tr *tracked) {
	if tr.shadowed == "" {
		return
	}
	if others := k.shadowed[tr.shadowed]; others != nil {
		delete(others, tr)
		if len(others) == 0 {
			delete(k.shadowed, tr.shadowed)
		}
	}
	tr.shadowed = ""
}

func (k *known) unuse(tr *tracked) {
	if users := k.users[tr.imageID]; users != nil {
		delete(users, tr)
		if len(users) == 0 {
			delete(k.users, tr.imageID)
		}
	}
	tr.imageID = ""
}
