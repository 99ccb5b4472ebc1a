package containerd

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxFacts bounds the containers that are remembered. A machine runs some hundreds; the rest is for
// those whose end was missed.
const maxFacts = 16384

// memory holds what events have told of containers and no answer of containerd does. It outlives
// connections, so that a new one finds nothing changed where nothing has. Its methods may be called
// by several goroutines: the events' reader is ahead of those who inspect, so what an event tells
// is here before anybody acts on it.
type memory struct {
	mu    sync.Mutex // guards facts
	facts *simplelru.LRU[string, facts]
}

// facts are what is remembered of one container. It is copied in and out.
type facts struct {
	// From the event of its creation, for a container that is gone before it can be looked at.
	createdAt      time.Time
	image, runtime string

	// record is when containerd says the container was created. Another time means another
	// container under the same ID.
	record time.Time
	// imageID is what the image's name stood for when the container was first seen; the name may
	// mean another image by now.
	imageID string
	noImage bool // the image was gone already then
	idle    bool // it was asked for its task and had none, and was not started since

	// Of the container's present or last life.
	pid       int
	startedAt time.Time
	end       *end // nil while it runs
	oom       bool
}

// end is how a life ended.
type end struct {
	code *int64 // nil = not known
	at   time.Time
}

func newMemory() *memory {
	lru, err := simplelru.NewLRU[string, facts](maxFacts, nil)
	if err != nil {
		panic(err) // the size is not positive
	}
	return &memory{facts: lru}
}

// of returns what is remembered of a container.
func (m *memory) of(key string) facts {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, _ := m.facts.Get(key)
	return f
}

// update changes what is remembered of a container and returns it.
func (m *memory) update(key string, change func(*facts)) facts {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, _ := m.facts.Get(key)
	change(&f)
	m.facts.Add(key, f)
	return f
}

// forget drops a container.
func (m *memory) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.facts.Remove(key)
}

// created notes an event.
func (m *memory) created(key, image, runtime string, at time.Time) {
	m.update(key, func(f *facts) { *f = facts{createdAt: at, image: image, runtime: runtime} })
}

// started notes that a life has begun.
func (m *memory) started(key string, pid int, at time.Time) facts {
	return m.update(key, func(f *facts) {
		f.pid, f.startedAt, f.end, f.oom, f.idle = pid, at, nil, false, false
	})
}

// ended notes how the life of process pid has ended, and returns when; a start is told a moment
// after it has happened, and an end is not before it. It is no news when it was told before
// (containerd tells of an end when the process exits and when its task is deleted, and may repeat
// both after a restart) or when another life has begun since.
func (m *memory) ended(key string, pid int, e end) (at time.Time, news bool) {
	m.update(key, func(f *facts) {
		sameLife := f.pid == pid || f.pid == 0 || pid == 0
		switch {
		case sameLife && f.end != nil && f.end.code != nil:
			return
		case !sameLife && e.at.Before(f.startedAt):
			return
		}
		if sameLife && e.at.Before(f.startedAt) {
			e.at = f.startedAt
		}
		f.end, news = &e, true
	})
	return e.at, news
}
