package runtimesync

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"golang.org/x/time/rate"
)

// Times that are not worth an option.
const (
	backoffMin = 5 * time.Second // after an inspection or a list that failed
	backoffMax = 5 * time.Minute
	// for the inspection of a container that has started, before what is known already is reported
	startWait = 250 * time.Millisecond
	// for the inspection of one that has ended, where the restart policy decides
	endWait = time.Second
	// for the event of the end of a container that the runtime no longer knows
	goneWait = 5 * time.Second
	// between a kill for want of memory and the end that it is the reason for
	oomWait   = 5 * time.Second
	waitTick  = 50 * time.Millisecond // between looks at what has waited long enough
	listPause = time.Second           // between lists, however often events were lost
	listTries = 3                     // failed lists before the connection is given up
)

// How much is remembered of what is not there any more.
const (
	maxNames   = 1024
	maxEnded   = 4096
	maxRecent  = 8192 // dockerd repeats at most 256, Podman whatever happened in a second or two
	maxCreated = 512
)

// The inputs of a machine.
type (
	input interface{ isInput() }

	connected    struct{}                  // the event stream is open
	received     struct{ events []*Event } // the runtime has told of these events
	lost         struct{}                  // events could not be read, or not be kept
	tick         struct{}                  // the time that wake has asked for has come
	disconnected struct{}                  // nothing will come over this connection any more

	// answer is what has become of a request.
	answer struct {
		request
		err       error
		slow      bool // the runtime answers, only not this
		container Container
		image     Image
		listing   Listing
	}
)

func (connected) isInput()    {}
func (received) isInput()     {}
func (lost) isInput()         {}
func (tick) isInput()         {}
func (disconnected) isInput() {}
func (answer) isInput()       {}

// The outputs of a machine, which are to be carried out in their order.
type (
	output interface{ isOutput() }

	report struct{ events []workloadmeta.CollectorEvent } // as one change
	synced struct{}
	fail   struct{ err error } // give the connection up
	note   struct {            // for the log
		level slog.Level
		text  string
		args  []any
	}

	// request asks the runtime for something. It is answered later, once, whatever happens.
	request struct {
		kind       requestKind
		key        key    // what to inspect
		full       bool   // of an image: all of it; of a list: events were lost before it
		generation uint64 // of the look: see queue
		clock      uint64 // when the request was made
	}
)

func (report) isOutput()  {}
func (synced) isOutput()  {}
func (fail) isOutput()    {}
func (note) isOutput()    {}
func (request) isOutput() {}

type requestKind uint8

const (
	inspect requestKind = iota
	list
	ping
)

// connPhase is how far a connection has come; the package's comment has a table.
type connPhase uint8

const (
	offline connPhase = iota
	listing
	catchingUp
	live
)

// connection is what a machine knows of the present connection only.
type connection struct {
	number  uint64 // counts connections
	phase   connPhase
	queue   *queue
	limiter *rate.Limiter
	resume  time.Time // events up to this time may be repetitions

	waiting  map[*container]struct{} // those with a deadline
	nextLook time.Time               // when to look at their deadlines

	first      map[key]struct{} // what Synced waits for
	firstUntil time.Time

	// when to list again; zero while the list on its way is all that is asked for
	nextList    time.Time
	listing     bool
	lastList    time.Time
	listErrors  int
	lostEvents  bool      // since the last list was asked for
	lastContact time.Time // when the runtime last said anything
	pinging     bool
}

// machine decides what to ask a runtime and what to report of it. It is plain data: what happens
// and what time it is are its input, what to do is its output. It outlives connections, so that a
// new one changes only what has changed.
type machine struct {
	opts  *Options
	stats Stats
	conn  connection

	clock      uint64 // counts what was handled, to tell what is older than a request
	containers map[string]*container
	images     map[string]*imageState // those that are reported
	// owners are the containers that are reported under an ID. Two may have one ID, in different
	// namespaces.
	owners map[string]*container
	// duplicates are the others with such an ID, by ID: different containers of one reporter, of
	// which the store, whose table has one report of each reporter, cannot hold two.
	duplicates map[string]map[*container]struct{}
	// users are the containers of an image.
	users map[string]map[*container]struct{}
	// names has what containers need to know of images that are not in images. An entry without
	// names says that the image does not exist.
	names *simplelru.LRU[string, mapping.ImageNames]
	// goneImages has, by ID, the newest answer that an image is not there: see Image.Seq.
	goneImages *simplelru.LRU[string, uint64]
	// recentlyEnded has containers and images that were let go, with the clock at that time.
	recentlyEnded *simplelru.LRU[string, uint64]
	// notStarted has what inspections have found of containers before their start.
	notStarted *simplelru.LRU[string, notStarted]
	// recentEvents has the IDs of events, to recognise those that a new connection repeats.
	recentEvents *simplelru.LRU[string, struct{}]
	newestEvent  time.Time // by the runtime's clock

	// Of the step that runs.
	now  time.Time
	news []workloadmeta.CollectorEvent
	out  []output
	// wake is when the next step is due if no other input comes before.
	wake time.Time
}

func newMachine(o *Options) *machine {
	return &machine{
		opts:          o,
		stats:         Stats{Events: map[string]int{}, Inspects: map[string]int{}},
		containers:    map[string]*container{},
		images:        map[string]*imageState{},
		owners:        map[string]*container{},
		duplicates:    map[string]map[*container]struct{}{},
		users:         map[string]map[*container]struct{}{},
		names:         newLRU[string, mapping.ImageNames](maxNames),
		goneImages:    newLRU[string, uint64](maxNames),
		recentlyEnded: newLRU[string, uint64](maxEnded),
		notStarted:    newLRU[string, notStarted](maxCreated),
		recentEvents:  newLRU[string, struct{}](maxRecent),
	}
}

func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	lru, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err) // the size is not positive
	}
	return lru
}

// step takes an input into account and returns what is to be done about it.
func (m *machine) step(in input, now time.Time) []output {
	m.now, m.wake = now, now.Add(time.Hour)
	switch in := in.(type) {
	case connected:
		m.connect()
	case received:
		m.conn.lastContact = now
		for _, ev := range in.events {
			m.handleEvent(ev)
		}
	case lost:
		m.conn.lostEvents = true
		m.requestList(now)
	case answer:
		m.handleAnswer(&in)
	case disconnected:
		m.expireDue(func(*container) bool { return true }) // no inspection will come any more
		m.conn.phase = offline
	}
	if m.conn.phase == catchingUp || m.conn.phase == live {
		m.checkDeadlines()
		m.checkSynced()
		m.ask()
		m.stats.QueueDepth, m.stats.BreakerOpen = m.conn.queue.waiting(), m.conn.queue.open
		m.stats.Coalesced += m.conn.queue.coalesced
		m.conn.queue.coalesced = 0
	}
	m.stats.Containers, m.stats.Images = len(m.containers), len(m.images)
	m.flush()
	out := m.out
	m.out = nil
	return out
}

// connect begins a connection with a list.
func (m *machine) connect() {
	m.conn = connection{
		number:      m.conn.number + 1,
		phase:       listing,
		queue:       newQueue(m.opts.Coalesce, backoffMin, backoffMax),
		limiter:     rate.NewLimiter(rate.Limit(m.opts.InspectRate), m.opts.InspectBurst),
		resume:      m.newestEvent,
		waiting:     map[*container]struct{}{},
		first:       map[key]struct{}{},
		lastContact: m.now,
	}
	m.startList()
}

// ask asks for what is due, as far as there are workers, and says when more will be.
func (m *machine) ask() {
	conn := &m.conn
	until := func(t time.Time) {
		if !t.IsZero() && t.Before(m.wake) {
			m.wake = t
		}
	}
	if !conn.pinging {
		if due := conn.lastContact.Add(m.opts.PingEvery); due.After(m.now) {
			until(due)
		} else {
			conn.pinging = true
			m.out = append(m.out, request{kind: ping})
		}
	}
	for m.busy() < m.opts.Workers {
		if !conn.listing {
			if !conn.nextList.IsZero() && !conn.nextList.After(m.now) {
				m.startList()
				continue
			}
			until(conn.nextList)
		}
		// The first inspections are held back only by the number of workers: a healthy runtime
		// answers one in under a millisecond, and they end soon, whatever it does.
		limited := conn.phase == live
		if tokens := conn.limiter.TokensAt(m.now); limited && tokens < 1 {
			if _, ok := conn.queue.wait(m.now); ok {
				pause := time.Duration((1 - tokens) / m.opts.InspectRate * float64(time.Second))
				until(m.now.Add(pause + time.Millisecond))
			}
			break
		}
		k, generation, ok := conn.queue.next(m.now)
		if !ok {
			if pause, ok := conn.queue.wait(m.now); ok {
				until(m.now.Add(pause))
			}
			break
		}
		if limited {
			conn.limiter.AllowN(m.now, 1)
		}
		i := m.images[k.id]
		m.out = append(m.out, request{kind: inspect, key: k, generation: generation, clock: m.clock,
			full: k.image && !m.opts.NoImages && (i == nil || !i.inspected)})
	}
	if len(conn.waiting) > 0 {
		until(conn.nextLook)
	}
	if conn.phase == catchingUp {
		until(conn.firstUntil)
	}
}

// busy returns how many workers have something to do, but for pings.
func (m *machine) busy() int {
	if m.conn.listing {
		return m.conn.queue.inUse + 1
	}
	return m.conn.queue.inUse
}

// requestList has the runtime's lists compared soon after a time.
func (m *machine) requestList(at time.Time) {
	if next := m.conn.lastList.Add(listPause); next.After(at) {
		at = next
	}
	if m.conn.nextList.IsZero() || at.Before(m.conn.nextList) {
		m.conn.nextList = at
	}
}

func (m *machine) startList() {
	m.conn.listing, m.conn.lastList, m.conn.nextList = true, m.now, time.Time{}
	m.out = append(m.out, request{kind: list, clock: m.clock, full: m.conn.lostEvents})
	m.conn.lostEvents = false
}

// handleAnswer takes the answer to a request into account.
func (m *machine) handleAnswer(a *answer) {
	if a.err == nil {
		m.conn.lastContact = m.now
	}
	switch a.kind {
	case list:
		m.handleList(a)
	case ping:
		m.conn.pinging = false
		if a.err != nil {
			silence := m.now.Sub(m.conn.lastContact).Round(time.Second)
			m.fail(fmt.Errorf("nothing has come for %v, and: %w", silence, a.err))
		}
	default:
		m.handleInspection(a)
	}
}

// checkDeadlines stops waiting where it has lasted long enough.
func (m *machine) checkDeadlines() {
	if len(m.conn.waiting) == 0 || m.now.Before(m.conn.nextLook) {
		return
	}
	m.expireDue(func(c *container) bool { return !m.now.Before(c.deadline) })
	m.conn.nextLook = m.now.Add(time.Hour)
	for c := range m.conn.waiting {
		if c.deadline.Before(m.conn.nextLook) {
			m.conn.nextLook = c.deadline
		}
	}
	if soon := m.now.Add(waitTick); m.conn.nextLook.Before(soon) {
		m.conn.nextLook = soon // many deadlines are looked at together
	}
}

func (m *machine) expireDue(due func(*container) bool) {
	for _, c := range byKey(m.conn.waiting) {
		if due(c) {
			m.expire(c)
		}
	}
}

// checkSynced calls Synced when everything has been inspected or has taken too long. What an
// earlier connection has reported and this one has not, the store takes away then.
func (m *machine) checkSynced() {
	if m.conn.phase != catchingUp || len(m.conn.first) > 0 && m.now.Before(m.conn.firstUntil) {
		return
	}
	for _, c := range m.pick(func(c *container) bool {
		_, awaited := m.conn.first[keyOf(c)]
		return c.view != nil && !m.isReported(c) || awaited && c.phase == starting
	}) {
		if c.phase == unlisted {
			m.forget(c) // how it ended nobody can tell
		} else {
			m.expire(c)
		}
	}
	m.flush()
	m.conn.phase, m.conn.first = live, nil
	m.out = append(m.out, synced{})
}

// add puts something into what is reported with this step.
func (m *machine) add(t workloadmeta.EventType, e workloadmeta.Entity) {
	m.news = append(m.news,
		workloadmeta.CollectorEvent{Type: t, Source: m.opts.Source, Entity: e})
}

func (m *machine) flush() {
	if len(m.news) == 0 {
		return
	}
	m.out = append(m.out, report{m.news})
	m.stats.Published += len(m.news)
	m.news = nil
}

func (m *machine) fail(err error) { m.out = append(m.out, fail{err}) }

func (m *machine) note(level slog.Level, text string, args ...any) {
	m.out = append(m.out, note{level, text, args})
}
