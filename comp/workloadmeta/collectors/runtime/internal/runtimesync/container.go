package runtimesync

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// phase is where a container is in its life, as far as is known; the package's comment has a table.
type phase uint8

const (
	created phase = iota
	starting
	reported
	returning
	ending
	unlisted
	gone
	excluded
	duplicate
)

// container is what is known of a container.
type container struct {
	key   string
	phase phase
	// deadline is when to stop waiting in this phase; zero = never.
	deadline time.Time
	// view is what was last reported, perhaps over an earlier connection; nil before the first
	// time.
	view *workloadmeta.Container
	// image is what view says of its image, once for all containers that were made of it.
	image mapping.SharedImage
	// connection is the number of the one that view was last reported over.
	connection uint64
	// fallback is made of a list, an event or an earlier inspection. It is to be reported if no
	// inspection comes in time; nil = nothing.
	fallback *workloadmeta.Container
	// end is an end that an inspection is to confirm; nil = none.
	end *end

	policy      string // restart policy, known after an inspection; "" = not known
	keep        bool   // stays while it does not run, until it is removed
	imageID     string // under which it is in machine.users
	duplicateOf string // the ID that another container is reported under; "" = none
	// when something in it was last killed for want of memory; runtime's clock
	oomAt      time.Time
	lastEvent  uint64 // the clock when an event last told of the container
	lastChange uint64 // the clock when an event last changed what is known of it
}

func keyOf(c *container) key { return key{id: c.key} }

// end is how a container ended.
type end struct {
	code *int64 // nil = unknown
	at   time.Time
	oom  bool
}

// notStarted is what is known of a container that exists, does not run and is not reported. What
// lives shorter than an inspection takes is otherwise known from its events only, and those have no
// environment, from which service and env are taken.
type notStarted struct {
	view   *workloadmeta.Container
	policy string
	clock  uint64 // when it was found out
}

// isReported reports whether a container's view has been reported over this connection.
func (m *machine) isReported(c *container) bool {
	return c.view != nil && c.connection == m.conn.number
}

// enter moves a container to a phase. It waits there for no longer than wait; 0 = for ever.
func (m *machine) enter(c *container, p phase, wait time.Duration) {
	c.phase, c.deadline = p, time.Time{}
	if wait == 0 {
		delete(m.conn.waiting, c)
		return
	}
	c.deadline = m.now.Add(max(wait, waitTick))
	if len(m.conn.waiting) == 0 || c.deadline.Before(m.conn.nextLook) {
		m.conn.nextLook = c.deadline
	}
	m.conn.waiting[c] = struct{}{}
}

// track returns the container's record, which is made if there is none.
func (m *machine) track(key string) *container {
	c := m.containers[key]
	if c == nil {
		c = &container{key: key, phase: starting, keep: m.opts.KeepStopped}
		m.containers[key] = c
	}
	c.lastEvent = m.clock
	return c
}

// look has the container inspected. With barrier, inspections that have begun already are void.
func (m *machine) look(c *container, barrier bool) {
	c.lastEvent = m.clock
	if c.phase != excluded {
		m.conn.queue.mark(keyOf(c), barrier, m.now)
	}
}

// byKey returns containers in the order of their keys, so that a machine does the same twice.
func byKey(set map[*container]struct{}) []*container {
	return slices.SortedFunc(maps.Keys(set),
		func(a, b *container) int { return cmp.Compare(a.key, b.key) })
}

// pick returns the containers that fit, in the order of their keys.
func (m *machine) pick(fits func(*container) bool) []*container {
	var out []*container
	for _, c := range m.containers {
		if fits(c) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *container) int { return cmp.Compare(a.key, b.key) })
	return out
}

// use notes which image a container is made of.
func (m *machine) use(c *container, id string) {
	if c.imageID == id {
		return
	}
	m.unuse(c)
	if id != "" {
		addTo(m.users, id, c)
		c.imageID = id
	}
}

func (m *machine) unuse(c *container) {
	removeFrom(m.users, c.imageID, c)
	c.imageID = ""
}

// addDuplicate notes that another container is reported under the ID of this one.
func (m *machine) addDuplicate(c *container, id string) {
	addTo(m.duplicates, id, c)
	c.duplicateOf = id
}

func (m *machine) removeDuplicate(c *container) {
	removeFrom(m.duplicates, c.duplicateOf, c)
	c.duplicateOf = ""
}

func addTo(sets map[string]map[*container]struct{}, id string, c *container) {
	if sets[id] == nil {
		sets[id] = map[*container]struct{}{}
	}
	sets[id][c] = struct{}{}
}

func removeFrom(sets map[string]map[*container]struct{}, id string, c *container) {
	delete(sets[id], c)
	if len(sets[id]) == 0 {
		delete(sets, id)
	}
}
