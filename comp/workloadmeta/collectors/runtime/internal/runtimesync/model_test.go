package runtimesync

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"pgregory.net/rapid"
)

// TestMachineModel plays a machine against a simulated runtime on which everything goes wrong that
// has ever gone wrong on a real one, and checks what the package's comment promises. A million
// steps are
//
//	go test -run TestMachineModel -rapid.checks=10000 -rapid.steps=100 -timeout 30m
func TestMachineModel(t *testing.T) {
	var steps atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.connect()
		actions := map[string]func(*rapid.T){
			"create":     w.create,
			"start":      w.start,
			"end":        w.end,
			"stop":       w.stop,
			"run short":  w.runShort,
			"remove":     w.remove,
			"pause":      w.pause,
			"rename":     w.rename,
			"tag":        w.tag,
			"untag":      w.untag,
			"events":     w.setEvents,
			"lists":      w.setLists,
			"looks":      w.setLooks,
			"cut":        w.cut,
			"clock":      w.jump,
			"time":       w.time,
			"more time":  w.time,
			"quiet time": w.quiet,
		}
		for name, do := range actions {
			actions[name] = func(t *rapid.T) {
				steps.Add(1)
				w.t = t
				do(t)
				w.settle()
			}
		}
		t.Repeat(actions)
		w.t = t
		w.quiet(t)
	})
	t.Logf("%d steps", steps.Load())
}

// world is a runtime, the wire to it and the sink of what a machine reports.
type world struct {
	t   *rapid.T
	m   *machine
	now time.Time     // by our clock
	off time.Duration // of the runtime's clock from ours

	// What kind of runtime it is.
	keepsEvents    bool // and repeats those since a time to a new connection
	tellsCreations bool
	completeLists  bool
	keepStopped    bool
	imagesByName   bool // its events name images by their names
	sharedIDs      bool // k0 and k1 have the same ID
	reusesKeys     bool // a container may be made that has the key of one that was

	// How it is doing.
	events string // "", late, lost, silent
	// setBack says that the runtime's clock was set back, so that its times do not tell which life
	// is the newer.
	setBack bool
	lists   string // "", slow, fail, lag, hang
	looks   string // "", slow, fail, hang, dead

	containers map[string]*truth // by key
	slots      map[string]string // the key of the newest container in each of the slots
	tags       map[string]string // image by tag
	index      map[string]string // what the client knows of tags, where images go by names
	seq        uint64            // counts its changes
	log        []*Event          // what it has told or could not tell
	past       []snapshot        // what lists had, for those that lag
	serial     int64             // of lives, names, events
	lives      map[time.Time]int64
	failed     map[int64]string // the keys of containers that have ended with a code

	online   bool
	asked    int // lists and inspections on their way
	failures int // lists in a row that have failed
	due      deliveries
	lastDue  time.Time // of the last event, because events overtake no other
	held     []input   // what came before the first list
	spinning int

	// What is known to the machine.
	firstList  *snapshot
	upSince    map[string]time.Time
	listAt     time.Time
	synced     bool
	lostAt     time.Time        // an event was lost that no list makes up for yet
	toldEvents map[string]bool  // by ID
	toldEnd    map[string]bool  // by key: an end was told, and no start since
	toldStart  map[string]int64 // by key: the life whose start was told last
	read       int              // events
	toldTag    map[string]int   // the number of the last event that told of it
	toldName   map[string]int64 // the newest name that an event has told
	everTold   map[string]time.Time
	overlooked bool // something was lost that only the next regular list finds
	hung       bool // inspections hung, and are backed off

	// The sink.
	reported map[string]*workloadmeta.Container // by ID
	fresh    map[string]bool                    // set over this connection
	images   map[string]*workloadmeta.ContainerImageMetadata
	freshI   map[string]bool
	ended    map[string]int64 // by key: the last life whose end was reported
	ever     map[string]bool  // keys that were reported since they were created
}

// truth is a container as it is.
type truth struct {
	key, id, image, rawName string
	exists, sandbox, manual bool
	policy                  string
	status                  workloadmeta.ContainerStatus
	name, life              int64
	created, started, ended time.Time
	code                    int64
	restart                 int64 // the serial of the restart that is due
	unseen                  bool  // the machine need not know the present life
}

type snapshot struct {
	at      time.Time
	listing Listing
}

// delivery is what happens at a time.
type delivery struct {
	at    time.Time
	order int64
	do    func()
	wire  bool // it is lost with the connection
}

type deliveries []*delivery

func (d deliveries) Len() int { return len(d) }
func (d deliveries) Less(i, j int) bool {
	if c := d[i].at.Compare(d[j].at); c != 0 {
		return c < 0
	}
	return d[i].order < d[j].order
}
func (d deliveries) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *deliveries) Push(x any)   { *d = append(*d, x.(*delivery)) }
func (d *deliveries) Pop() any {
	old := *d
	x := old[len(old)-1]
	*d = old[:len(old)-1]
	return x
}

func newWorld(t *rapid.T) *world {
	w := &world{
		t: t, now: time.Unix(1_800_000_000, 0),
		keepsEvents:    rapid.Bool().Draw(t, "keeps events"),
		tellsCreations: rapid.Bool().Draw(t, "tells creations"),
		completeLists:  rapid.Bool().Draw(t, "complete lists"),
		keepStopped:    rapid.IntRange(0, 3).Draw(t, "keep stopped") == 3,
		imagesByName:   rapid.Bool().Draw(t, "images by name"),
		sharedIDs:      rapid.IntRange(0, 3).Draw(t, "shared IDs") == 3,
		reusesKeys:     rapid.Bool().Draw(t, "reuses keys"),
		slots:          map[string]string{},
		containers:     map[string]*truth{}, tags: map[string]string{},
		index: map[string]string{},
		lives: map[time.Time]int64{}, failed: map[int64]string{}, upSince: map[string]time.Time{},
		toldEvents: map[string]bool{}, toldTag: map[string]int{}, toldEnd: map[string]bool{},
		toldStart: map[string]int64{}, toldName: map[string]int64{},
		everTold: map[string]time.Time{},
		reported: map[string]*workloadmeta.Container{},
		images:   map[string]*workloadmeta.ContainerImageMetadata{},
		ended:    map[string]int64{}, ever: map[string]bool{},
	}
	if w.keepsEvents {
		w.reusesKeys = false // those that keep events choose the IDs themselves
	}
	w.completeLists = w.completeLists || w.reusesKeys // as containerd's are
	tuning, err := Tuning{Workers: rapid.IntRange(2, 4).Draw(t, "workers")}.WithDefaults("test")
	if err != nil {
		t.Fatal(err)
	}
	w.m = newMachine(&Options{
		Tuning: tuning, Source: workloadmeta.SourceRuntime, KeepStopped: w.keepStopped,
		SameAsListed: func(known, listed *workloadmeta.Container) bool {
			return known.Name == listed.Name && known.State.Status == listed.State.Status
		},
		Overlay: func(known, listed *workloadmeta.Container) *workloadmeta.Container {
			c := *known
			c.Name, c.State.Status = listed.Name, listed.State.Status
			c.State.Running, c.PID, c.CgroupInode = listed.State.Running, 0, 0
			return &c
		},
	})
	w.tags["t0"] = imageID(0)
	w.remember()
	return w
}

const images = 3

func imageID(n int) string { return "sha256:" + strings.Repeat(fmt.Sprint(n), 64) }

// wall returns the time by the runtime's clock.
func (w *world) wall() time.Time { return w.now.Add(w.off) }

func (w *world) next() int64 { w.serial++; return w.serial }

// ---- What happens on the runtime.

// slots bounds how many containers there are at a time.
var slots = []string{"k0", "k1", "k2", "k3"}

func (w *world) pick(t *rapid.T, fits func(*truth) bool) *truth {
	c := w.containers[w.slots[rapid.SampledFrom(slots).Draw(t, "key")]]
	if c == nil || !c.exists || !fits(c) {
		return nil
	}
	return c
}

func isUp(c *truth) bool { return mapping.IsUp(c.status) }

func (w *world) create(t *rapid.T) {
	slot := rapid.SampledFrom(slots).Draw(t, "key")
	if c := w.containers[w.slots[slot]]; c != nil && c.exists {
		return
	}
	key := slot
	if !w.reusesKeys {
		key = fmt.Sprint(slot, ".", w.next())
	}
	w.slots[slot] = key
	id := key
	if w.sharedIDs && slot < "k2" {
		id = "shared"
	}
	w.containers[key] = &truth{
		key: key, id: id, exists: true,
		image:   imageID(rapid.IntRange(0, images-1).Draw(t, "image")),
		sandbox: slot == "k3", rawName: "t0",
		policy: rapid.SampledFrom([]string{"no", "always", "on-failure"}).Draw(t, "policy"),
		status: workloadmeta.StatusCreated, name: w.next(),
		created: w.wall().Add(time.Duration(w.next())), // no two at the same time
	}
	delete(w.everTold, key)
	delete(w.toldName, key)
	if w.tellsCreations || w.keepStopped {
		w.tell(Event{Action: ActionCreated, Key: key})
	}
	w.remember()
}

func (w *world) start(t *rapid.T) {
	if c := w.pick(t, func(c *truth) bool { return !isUp(c) }); c != nil {
		w.run(c)
	}
}

func (w *world) run(c *truth) {
	c.life, c.status, c.manual, c.restart = w.next(), workloadmeta.StatusRunning, false, 0
	c.started = w.wall().Add(time.Duration(c.life)) // no two lives start at the same time
	w.upSince[c.key], w.lives[c.started] = w.now, c.life
	w.remember()
	v := w.view(c, false)
	v.State.Status, v.State.StartedAt = workloadmeta.StatusRunning, c.started
	v.PID, v.CgroupInode = 0, 0
	v.Image.ID = ""
	w.tell(Event{Action: ActionStarted, Key: c.key, Container: v, Sandbox: c.sandbox})
}

func (w *world) end(t *rapid.T) {
	if c := w.pick(t, isUp); c != nil && c.status != workloadmeta.StatusRestarting {
		w.die(c, rapid.Bool().Draw(t, "fails"))
	}
}

// runShort creates, runs and removes a container in no time.
func (w *world) runShort(t *rapid.T) {
	w.create(t)
	for _, slot := range slots {
		if c := w.containers[w.slots[slot]]; c != nil && c.exists &&
			c.status == workloadmeta.StatusCreated {
			w.run(c)
			w.advance(rapid.SampledFrom([]time.Duration{0, time.Millisecond,
				30 * time.Millisecond}).Draw(t, "lives"))
			c.manual = true
			w.die(c, true)
			w.removeNow(c)
			return
		}
	}
}

func (w *world) stop(t *rapid.T) {
	c := w.pick(t, isUp)
	if c == nil {
		return
	}
	c.manual = true
	if c.status == workloadmeta.StatusRestarting {
		c.status, c.restart = workloadmeta.StatusStopped, 0 // nothing tells
		w.overlooked = true
		w.remember()
		return
	}
	w.die(c, true)
}

// die ends a life. Codes are 2n for failures and 0 for success, with n the life.
func (w *world) die(c *truth, fails bool) {
	c.code, c.ended = 0, w.wall().Add(time.Duration(w.next()))
	if fails {
		c.code = 2 * c.life
		w.failed[c.code] = c.key
	}
	c.status = workloadmeta.StatusStopped
	delete(w.upSince, c.key)
	if code := c.code; !c.manual && mapping.Restarts(c.policy, &code) {
		c.status, c.restart = workloadmeta.StatusRestarting, w.next()
		due := c.restart
		w.after(100*time.Millisecond, false, func() {
			if c.restart == due && c.exists {
				w.run(c)
			}
		})
	}
	w.remember()
	code := c.code
	w.tell(Event{Action: ActionEnded, Key: c.key, ExitCode: &code, At: c.ended})
}

func (w *world) remove(t *rapid.T) {
	c := w.pick(t, func(c *truth) bool { return true })
	if c == nil {
		return
	}
	if isUp(c) && c.status != workloadmeta.StatusRestarting {
		c.manual = true
		w.die(c, true)
	}
	w.removeNow(c)
}

func (w *world) removeNow(c *truth) {
	c.exists, c.status, c.restart = false, workloadmeta.StatusStopped, 0
	w.remember()
	w.tell(Event{Action: ActionRemoved, Key: c.key})
}

func (w *world) pause(t *rapid.T) {
	c := w.pick(t, isUp)
	switch {
	case c == nil:
	case c.status == workloadmeta.StatusRunning:
		c.status = workloadmeta.StatusPaused
		w.remember()
		w.tell(Event{Action: ActionPaused, Key: c.key})
	case c.status == workloadmeta.StatusPaused:
		c.status = workloadmeta.StatusRunning
		w.remember()
		w.tell(Event{Action: ActionResumed, Key: c.key})
	}
}

func (w *world) rename(t *rapid.T) {
	c := w.pick(t, func(*truth) bool { return true })
	if c == nil {
		return
	}
	c.name = w.next()
	w.remember()
	w.tell(Event{Action: ActionRenamed, Key: c.key, Detail: fmt.Sprint(c.name)})
}

func (w *world) tag(t *rapid.T) {
	tag := rapid.SampledFrom([]string{"t0", "t1", "t2", "t3"}).Draw(t, "tag")
	w.name(tag, imageID(rapid.IntRange(0, images-1).Draw(t, "image")))
}

func (w *world) untag(t *rapid.T) {
	w.name(rapid.SampledFrom([]string{"t0", "t1", "t2", "t3"}).Draw(t, "tag"), "")
}

// name gives a name to an image, or takes it away. An image is there while it has a name.
func (w *world) name(tag, id string) {
	before := w.tags[tag]
	if before == id {
		return
	}
	delete(w.tags, tag)
	if id != "" {
		w.tags[tag] = id
	}
	w.remember()
	ev := Event{Action: ActionImageChanged, Key: id}
	switch {
	case w.imagesByName:
		ev.Key = tag
	case id == "" && len(tagsOf(w.tags, before)) == 0:
		ev.Action, ev.Key = ActionImageRemoved, before
	case id == "":
		ev.Key = before
	}
	w.tell(ev)
	if !w.imagesByName && id != "" && before != "" && len(tagsOf(w.tags, before)) == 0 {
		w.tell(Event{Action: ActionImageRemoved, Key: before})
	}
}

func tagsOf(tags map[string]string, id string) []string {
	var out []string
	for tag, of := range tags {
		if of == id {
			out = append(out, tag)
		}
	}
	slices.Sort(out)
	return out
}

// ---- What the runtime tells.

func (w *world) view(c *truth, whole bool) *workloadmeta.Container {
	v := mapping.NewContainer(c.id, "fake")
	v.Name, v.Labels = fmt.Sprint(c.name), map[string]string{"key": c.key}
	v.Image.ID, v.Image.RawName = c.image, c.rawName
	v.State.Status, v.State.CreatedAt = c.status, c.created
	v.State.Running = isUp(c)
	if whole {
		v.EnvVars = map[string]string{"DD_SERVICE": c.key}
		v.State.StartedAt = c.started
		if c.status == workloadmeta.StatusStopped && c.life != 0 {
			code := c.code
			v.State.ExitCode, v.State.FinishedAt = &code, c.ended
		}
		if isUp(c) {
			v.PID, v.CgroupInode = int(c.life), uint64(c.life)
		}
	}
	return v
}

func (w *world) found(c *truth, whole bool) Container {
	return Container{Key: c.key, Entity: w.view(c, whole), Complete: whole, Policy: c.policy,
		Sandbox: c.sandbox}
}

// imageNow returns an image as the client tells of it.
func (w *world) imageNow(id string) Image {
	tags := w.tags
	if w.imagesByName {
		tags = w.index
	}
	names := mapping.NewImageNames(id, tagsOf(tags, id), nil)
	return Image{Entity: names.NewImage(), Complete: true, Seq: w.seq}
}

func (w *world) imagesNow() (out []Image) {
	for n := range images {
		if i := w.imageNow(imageID(n)); len(i.Entity.RepoTags) > 0 {
			out = append(out, i)
		}
	}
	return out
}

// remember notes what a list would have now.
func (w *world) remember() {
	l := Listing{AllImages: true}
	for _, slot := range slots {
		if c := w.containers[w.slots[slot]]; c != nil && c.exists && (isUp(c) || w.keepStopped) {
			l.Containers = append(l.Containers, w.found(c, w.completeLists))
		}
	}
	l.Images = w.imagesNow()
	w.past = append(w.past, snapshot{w.now, l})
	if len(w.past) > 50 {
		w.past = w.past[1:]
	}
}

// asOf returns what a list had at a time. The machine may own it.
func (w *world) asOf(at time.Time) snapshot {
	i := len(w.past) - 1
	for i > 0 && w.past[i].at.After(at) {
		i--
	}
	s := w.past[i]
	l := s.listing
	l.Containers = nil
	for _, c := range s.listing.Containers {
		v := *c.Entity
		c.Entity = &v
		l.Containers = append(l.Containers, c)
	}
	s.listing = l
	return s
}

// tell sends an event.
func (w *world) tell(ev Event) {
	if ev.At.IsZero() {
		ev.At = w.wall()
	}
	ev.ID = fmt.Sprint(w.next())
	if !w.keepsEvents {
		ev.ID = ""
	}
	ev.Name = fmt.Sprint("event ", ev.Action)
	e := &ev
	if !w.online {
		w.log = append(w.log, e)
		return
	}
	in := w.deliver(e)
	delay := 2 * time.Millisecond
	switch w.events {
	case "late":
		if delay = 3 * time.Second; w.reusesKeys {
			delay = 0 // which of two containers they are of nobody could tell
		}
		w.log = append(w.log, e)
	case "lost":
		in = func() {
			if w.lostAt.IsZero() {
				w.lostAt = w.now
			}
			w.input(lost{})
		}
	case "silent":
		w.overlooked = true
		if c := w.containers[ev.Key]; c != nil && !w.completeLists {
			c.unseen = true // a list need not show a new life
		}
		return
	default:
		w.log = append(w.log, e)
	}
	at := w.now.Add(delay)
	if at.Before(w.lastDue) {
		at = w.lastDue
	}
	w.lastDue = at
	w.after(at.Sub(w.now), true, in)
}

func (w *world) deliver(e *Event) func() {
	return func() { w.input(received{[]*Event{copyOf(e)}}) }
}

// copyOf returns an event that the machine may own.
func copyOf(e *Event) *Event {
	out := *e
	if out.Container != nil {
		v := *out.Container
		out.Container = &v
	}
	return &out
}

// ---- How the runtime is doing.

func (w *world) setEvents(t *rapid.T) {
	w.events = rapid.SampledFrom([]string{"", "late", "lost", "silent"}).Draw(t, "events")
}

func (w *world) setLists(t *rapid.T) {
	w.lists = rapid.SampledFrom([]string{"", "slow", "fail", "lag", "hang"}).Draw(t, "lists")
}

func (w *world) setLooks(t *rapid.T) {
	w.looks = rapid.SampledFrom([]string{"", "slow", "fail", "hang", "dead"}).Draw(t, "looks")
}

// jump sets the runtime's clock.
func (w *world) jump(t *rapid.T) {
	seconds := rapid.SampledFrom([]int{-3600, -1, 1, 3600}).Draw(t, "seconds")
	w.off += time.Duration(seconds) * time.Second
	w.setBack = w.setBack || seconds < 0
}

func (w *world) time(t *rapid.T) {
	w.advance(rapid.SampledFrom([]time.Duration{time.Millisecond, 20 * time.Millisecond,
		300 * time.Millisecond, 2 * time.Second, 12 * time.Second, time.Minute}).Draw(t, "time"))
}

// ---- The connection.

func (w *world) connect() {
	w.online, w.asked, w.failures = true, 0, 0
	w.firstList, w.synced, w.lostAt = nil, false, time.Time{}
	w.fresh, w.freshI = map[string]bool{}, map[string]bool{}
	clear(w.toldEnd)
	clear(w.toldName)
	clear(w.everTold)
	since := w.m.newestEvent
	w.lastDue = w.now.Add(time.Millisecond)
	w.step(connected{})
	if !w.keepsEvents || since.IsZero() {
		return
	}
	for _, e := range w.log[max(0, len(w.log)-40):] {
		if !e.At.Before(since) {
			w.after(time.Millisecond, true, w.deliver(e))
		}
	}
}

// cut ends the connection. The machine is not told when it is stopped in the middle of something.
func (w *world) cut(t *rapid.T) {
	if !w.online {
		return
	}
	w.disconnect(rapid.Bool().Draw(t, "stopped"))
	w.advance(rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "away"))
	w.reconnect()
}

func (w *world) reconnect() {
	if !w.online {
		w.connect()
	}
}

func (w *world) disconnect(stopped bool) {
	if !stopped {
		w.step(disconnected{})
	}
	w.online, w.held = false, nil
	w.due = slices.DeleteFunc(w.due, func(d *delivery) bool { return d.wire })
	heap.Init(&w.due)
}

// input hands something to the machine, but not before the first list has come, as the driver does.
func (w *world) input(in input) {
	if w.m.conn.phase == listing {
		if _, ok := in.(answer); !ok {
			w.held = append(w.held, in)
			return
		}
	}
	w.step(in)
	for len(w.held) > 0 && w.online && w.m.conn.phase != listing {
		in, w.held = w.held[0], w.held[1:]
		w.step(in)
	}
}

func (w *world) step(in input) {
	repeated := false
	if t, ok := in.(received); ok {
		repeated = w.noteTold(t.events[0])
	}
	w.t.Logf("%v <- %T %+v", w.now.Sub(time.Unix(1_800_000_000, 0)), in, describe(in))
	before, first := w.m.stats.clone(), w.m.conn.phase == listing
	out := w.m.step(in, w.now)
	w.checkNumbers(in, first, repeated, before, out)
	for _, o := range out {
		w.t.Logf("    -> %T %+v", o, describe(o))
		switch o := o.(type) {
		case report:
			for _, e := range o.events {
				w.apply(in, e)
			}
		case synced:
			w.sync()
		case request:
			w.ask(o)
		case fail:
			if in == input(disconnected{}) {
				continue
			}
			w.disconnect(false)
			w.after(time.Second, false, w.reconnect)
			return
		case note:
			if strings.Contains(o.text, "panic") {
				w.t.Fatalf("%s: %v", o.text, o.args)
			}
		}
	}
	if t, ok := in.(received); ok && t.events[0].Action == ActionRemoved {
		delete(w.toldEnd, t.events[0].Key)
	}
	w.checkInvariants()
}

// noteTold notes what an event tells that is handled now, and reports whether it was told before.
func (w *world) noteTold(e *Event) (repeated bool) {
	if e.ID != "" && w.toldEvents[e.ID] {
		return true
	}
	w.toldEvents[e.ID] = true
	w.read++
	w.toldTag[e.Key] = w.read
	switch e.Action {
	case ActionStarted:
		delete(w.toldEnd, e.Key)
		w.toldStart[e.Key] = w.lives[e.Container.State.StartedAt]
		if !e.Sandbox {
			w.everTold[e.Key] = w.now
		}
	case ActionEnded:
		w.toldEnd[e.Key] = true
	case ActionRenamed:
		var name int64
		fmt.Sscan(e.Detail, &name) //nolint:errcheck // it is a number
		w.toldName[e.Key] = name
	}
	return false
}

// ask answers a request after a while.
func (w *world) ask(r request) {
	answerIn := func(d time.Duration, make func() answer) {
		w.after(d, true, func() {
			a := make()
			a.request = r
			if r.kind != ping {
				w.asked--
			}
			w.input(a)
		})
	}
	if r.kind != ping {
		if w.asked++; w.asked > w.m.opts.Workers {
			w.t.Fatalf("%d requests at a time", w.asked)
		}
	}
	timeout := fmt.Errorf("no answer: %w", context.DeadlineExceeded)
	const quick = 5 * time.Millisecond
	switch {
	case r.kind == ping && w.looks == "dead":
		answerIn(5*time.Second, func() answer { return answer{err: timeout} })
	case r.kind == ping:
		answerIn(quick, func() answer { return answer{} })
	case r.kind == list:
		w.askList(r, answerIn)
	case w.looks == "fail":
		answerIn(quick, func() answer { return answer{err: errors.New("it fails")} })
	case w.looks == "hang", w.looks == "dead":
		slow := w.looks == "hang"
		w.hung = true
		answerIn(6*time.Second, func() answer { return answer{err: timeout, slow: slow} })
	default:
		d := quick
		if w.looks == "slow" {
			d = 700 * time.Millisecond
		}
		asked := w.read
		if r.generation%2 == 0 || r.key.image && w.imagesByName { // as it is when it is answered
			answerIn(d, func() answer { return w.look(r, asked) })
			break
		}
		now := w.look(r, asked) // as it is when it is asked for
		answerIn(d, func() answer { return now })
	}
}

func (w *world) askList(r request, answerIn func(time.Duration, func() answer)) {
	if !w.lostAt.IsZero() {
		w.lostAt = time.Time{}
	}
	d, at := 20*time.Millisecond, w.now
	switch w.lists {
	case "slow":
		d = 3 * time.Second
	case "lag":
		at = at.Add(-500 * time.Millisecond)
	case "fail":
		answerIn(d, func() answer { return answer{err: errors.New("it fails")} })
		return
	case "hang":
		answerIn(5*time.Second,
			func() answer { return answer{err: context.DeadlineExceeded} })
		return
	}
	s := w.asOf(at)
	answerIn(d, func() answer {
		if w.m.conn.phase == listing {
			w.firstList, w.listAt = &s, w.now
		}
		if w.imagesByName {
			w.index = maps.Clone(w.tags)
			w.seq++
			s.listing.Images = w.imagesNow()
		}
		return answer{listing: s.listing}
	})
}

// look returns the answer to an inspection.
func (w *world) look(r request, asked int) answer {
	notFound := fmt.Errorf("%s: %w", r.key.id, errdefs.ErrNotFound)
	if !r.key.image {
		if c := w.containers[r.key.id]; c != nil && c.exists {
			return answer{container: w.found(c, true)}
		}
		return answer{err: notFound}
	}
	id := r.key.id
	if w.imagesByName && !mapping.IsFullImageID(id) {
		id = w.learn(id, asked)
	}
	if i := w.imageNow(id); len(i.Entity.RepoTags) > 0 {
		return answer{image: i}
	} else if id != "" && w.imagesByName {
		return answer{image: i, err: notFound}
	}
	return answer{err: notFound}
}

// learn has the client learn what a name means, and returns the image that has it or has lost it.
// If an event has told of the name since it was asked for, what it has lost is learnt the next
// time.
func (w *world) learn(tag string, asked int) string {
	before, now := w.index[tag], w.tags[tag]
	if now == "" && w.toldTag[tag] > asked {
		return before
	}
	w.seq++
	delete(w.index, tag)
	if now == "" {
		return before
	}
	w.index[tag] = now
	return now
}

// ---- Time.

func (w *world) after(d time.Duration, wire bool, do func()) {
	heap.Push(&w.due, &delivery{at: w.now.Add(d), order: w.next(), do: do, wire: wire})
}

// advance lets time pass and everything happen that is due.
func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for {
		next, wake := end.Add(1), w.m.wake
		if len(w.due) > 0 {
			next = w.due[0].at
		}
		if w.online && w.m.conn.phase != listing && wake.Before(next) {
			if wake.After(end) {
				break
			}
			if wake.After(w.now) {
				w.now, w.spinning = wake, 0
			} else if w.spinning++; w.spinning > 1000 {
				w.t.Fatal("the machine wants to be woken again and again")
			}
			w.step(tick{})
			continue
		}
		if next.After(end) {
			break
		}
		if next.After(w.now) {
			w.now, w.spinning = next, 0
		}
		heap.Pop(&w.due).(*delivery).do()
	}
	w.now = end
}

// settle checks what holds after every action.
func (w *world) settle() {
	if w.online && !w.lostAt.IsZero() && w.now.Sub(w.lostAt) > 20*time.Second {
		w.t.Fatalf("%v after an event was lost, no list was asked for", w.now.Sub(w.lostAt))
	}
	if w.online && w.firstList != nil && !w.synced &&
		w.now.Sub(w.listAt) > w.m.opts.InitialWait+waitTick {
		w.t.Fatalf("no Synced %v after the list", w.now.Sub(w.listAt))
	}
}

// ---- The sink.

func keyFrom(v *workloadmeta.Container) string { return v.Labels["key"] }

func (w *world) apply(in input, e workloadmeta.CollectorEvent) {
	set := e.Type == workloadmeta.EventTypeSet
	if i, ok := e.Entity.(*workloadmeta.ContainerImageMetadata); ok {
		if set {
			w.images[i.ID], w.freshI[i.ID] = i, true
			return
		}
		if w.images[i.ID] == nil {
			w.t.Fatalf("image %s is removed twice", i.ID)
		}
		delete(w.images, i.ID)
		return
	}
	v := e.Entity.(*workloadmeta.Container)
	key := keyFrom(v)
	c := w.containers[key]
	if c == nil {
		w.t.Fatalf("%s never was", key)
	}
	if uint64(v.PID) != v.CgroupInode {
		w.t.Fatalf("%s has the process of run %d and the cgroup of run %d", key, v.PID,
			v.CgroupInode)
	}
	if !set {
		if w.reported[v.ID] == nil || keyFrom(w.reported[v.ID]) != key {
			w.t.Fatalf("the end of %s is reported, which is not there", key)
		}
		w.reportEnd(v, key, c)
		return
	}
	w.reportSet(in, v, key, c)
}

func (w *world) reportSet(in input, v *workloadmeta.Container, key string, c *truth) {
	switch {
	case c.sandbox:
		w.t.Fatalf("sandbox %s is reported", key)
	case !v.State.Running && !w.keepStopped:
		w.t.Fatalf("%s is reported as %s", key, v.State.Status)
	}
	life := w.lives[v.State.StartedAt]
	if life == 0 && c.policy == "no" {
		life = c.life // a list does not tell: it may be the newest
	}
	if life != 0 && life <= w.ended[key] && !w.keepStopped && !w.setBack {
		w.t.Fatalf("%s is brought back, life %d", key, life)
	}
	if a, ok := in.(answer); ok && a.kind == inspect && a.key.id == key && a.err == nil {
		var name int64
		fmt.Sscan(v.Name, &name) //nolint:errcheck // it is a number
		if name < w.toldName[key] {
			w.t.Fatalf("%s is called %s by an inspection, although %d was told", key, v.Name,
				w.toldName[key])
		}
	}
	if w.lives[v.State.StartedAt] > w.toldStart[key] {
		delete(w.toldEnd, key) // this is a later life
	}
	w.reported[v.ID], w.fresh[v.ID], w.ever[key] = v, true, true
}

func (w *world) reportEnd(v *workloadmeta.Container, key string, c *truth) {
	delete(w.reported, v.ID)
	delete(w.fresh, v.ID)
	if v.State.Running || v.PID != 0 {
		w.t.Fatalf("%s has ended and runs", key)
	}
	if w.toldEnd[key] && v.State.ExitCode == nil {
		w.t.Fatalf("%s ends without the exit code that was told", key)
	}
	delete(w.toldEnd, key)
	life := w.lives[v.State.StartedAt]
	if code := v.State.ExitCode; code != nil && *code != 0 &&
		(w.failed[*code] != key || *code < 2*life && !w.setBack) {
		w.t.Fatalf("%s ends life %d with code %d", key, life, *code)
	}
	w.ended[key] = max(w.ended[key], life, w.toldStart[key])
	if code := v.State.ExitCode; code != nil {
		w.ended[key] = max(w.ended[key], *code/2)
	}
}

func (w *world) sync() {
	if w.synced {
		w.t.Fatal("Synced twice over one connection")
	}
	w.synced = true
	for id := range w.reported {
		if !w.fresh[id] {
			delete(w.reported, id)
		}
	}
	for id := range w.images {
		if !w.freshI[id] {
			delete(w.images, id)
		}
	}
	for _, in := range w.firstList.listing.Containers {
		c := w.containers[in.Key]
		up, ok := w.upSince[in.Key]
		if in.Sandbox || w.sharedIDs || w.setBack || c == nil || !ok || up.After(w.firstList.at) ||
			!isUp(c) {
			continue
		}
		if w.reported[c.id] == nil {
			w.t.Fatalf("Synced, and %s is not reported", in.Key)
		}
	}
}

// ---- What has to be true.

// checkInvariants checks what the machine knows against itself.
func (w *world) checkInvariants() {
	m := w.m
	for key, c := range m.containers {
		_, waits := m.conn.waiting[c]
		switch {
		case c.key != key:
			w.t.Fatalf("%s is filed under %s", c.key, key)
		case waits && w.now.Sub(c.deadline) > waitTick && m.conn.phase >= catchingUp:
			w.t.Fatalf("%s in phase %d has waited too long, till %v", key, c.phase, c.deadline)
		case waits == c.deadline.IsZero() && m.conn.phase >= catchingUp:
			w.t.Fatalf("%s in phase %d waits %v, deadline %v", key, c.phase, waits, c.deadline)
		case c.phase == reported && !m.isReported(c) && m.conn.phase >= catchingUp,
			c.view != nil && !m.isReported(c) && m.conn.phase == live:
			w.t.Fatalf("%s in phase %d is not reported", key, c.phase)
		case (c.phase == excluded || c.phase == duplicate) && c.view != nil:
			w.t.Fatalf("%s in phase %d is reported", key, c.phase)
		case c.phase == ending && c.end == nil:
			w.t.Fatalf("%s is ending without an end", key)
		}
	}
	for id, c := range m.owners {
		if m.containers[c.key] != c || c.view == nil || c.view.ID != id {
			w.t.Fatalf("%s owns %s", c.key, id)
		}
	}
}

// checkNumbers checks what a step has counted.
func (w *world) checkNumbers(in input, first, repeated bool, before Stats, out []output) {
	after := w.m.stats
	reported, failed := 0, false
	for _, o := range out {
		switch o := o.(type) {
		case report:
			reported += len(o.events)
		case fail:
			failed = true
		}
	}
	want := before.clone()
	want.Published += reported
	switch in := in.(type) {
	case received:
		want.Events[in.events[0].Name]++
		want.LastEvent = w.now
		if repeated {
			want.Duplicates++
		}
	case answer:
		switch {
		case in.kind == list && in.err != nil:
			if w.failures++; failed != (first || w.failures == listTries) {
				w.t.Fatalf("after %d lists in a row that failed it gives up: %v", w.failures,
					failed)
			}
		case in.kind == list:
			w.failures = 0
			want.Lists++
			want.LastSync = w.now
			if first {
				want.Connects++
			}
		case in.kind == inspect:
			result := "ok"
			switch {
			case after.Inspects["stale"] != before.Inspects["stale"]:
				result = "stale"
			case errdefs.IsNotFound(in.err):
				result = "gone"
			case errors.Is(in.err, context.DeadlineExceeded):
				result = "timeout"
			case in.err != nil:
				result = "error"
			}
			want.Inspects[result]++
		}
	}
	// These tell of the machine's own doing. They only grow.
	for _, n := range []struct{ before, after int }{
		{before.Differences, after.Differences},
		{before.SuppressedEqual, after.SuppressedEqual},
		{before.Coalesced, after.Coalesced},
	} {
		if n.after < n.before {
			w.t.Fatalf("a number falls from %d to %d: %+v", n.before, n.after, after)
		}
	}
	want.Differences, want.SuppressedEqual = after.Differences, after.SuppressedEqual
	want.Coalesced = after.Coalesced
	want.QueueDepth, want.BreakerOpen = after.QueueDepth, after.BreakerOpen
	want.Containers, want.Images = len(w.m.containers), len(w.m.images)
	if !reflect.DeepEqual(want, after) {
		w.t.Fatalf("counted %+v, want %+v", after, want)
	}
}

// quiet lets the runtime do well and nothing happen until everything has to be known.
func (w *world) quiet(*rapid.T) {
	w.events, w.lists, w.looks = "", "", ""
	w.reconnect()
	d := 30 * time.Second
	if w.overlooked || w.hung {
		d = 20 * time.Minute
	}
	w.advance(d)
	w.settle()
	w.overlooked, w.hung = false, false
	w.checkContainers()
	w.checkImages()
}

func (w *world) checkContainers() {
	for _, key := range slices.Sorted(maps.Keys(w.containers)) {
		c := w.containers[key]
		v := w.reported[c.id]
		there := c.exists && !c.sandbox && (isUp(c) || w.keepStopped)
		if v != nil && keyFrom(v) != key {
			continue // another has this ID, and is checked itself
		}
		switch {
		case v == nil && there:
			w.t.Fatalf("%s is %s and not reported; life %d", key, c.status, c.life)
		case v != nil && !there:
			w.t.Fatalf("%s is reported as %s and is %s", key, v.State.Status, c.status)
		case v == nil:
			if !w.ever[key] && !w.everTold[key].IsZero() && !w.sharedIDs {
				w.t.Fatalf("%s was started and never reported", key)
			}
			continue
		}
		if v.Name != fmt.Sprint(c.name) || v.State.Status != c.status ||
			c.life != 0 && !c.unseen && !v.State.StartedAt.Equal(c.started) ||
			v.EnvVars["DD_SERVICE"] != key {
			w.t.Fatalf("%s is reported as %+v, and is %+v", key, v, c)
		}
		if v.Image.ID != c.image {
			w.t.Fatalf("%s is reported with image %s", key, v.Image.ID)
		}
		if !isUp(c) && c.life != 0 && !c.unseen &&
			(v.State.ExitCode == nil || *v.State.ExitCode != c.code) {
			w.t.Fatalf("%s ended with %d and is reported with %v", key, c.code, v.State.ExitCode)
		}
	}
}

func (w *world) checkImages() {
	for n := range images {
		id := imageID(n)
		tags, i := tagsOf(w.tags, id), w.images[id]
		switch {
		case i == nil && len(tags) > 0:
			w.t.Fatalf("image %d with %v is not reported", n, tags)
		case i != nil && !slices.Equal(slices.Sorted(slices.Values(i.RepoTags)), tags):
			w.t.Fatalf("image %d is reported with %v, and has %v", n, i.RepoTags, tags)
		}
	}
}

// describe returns an input or output as a person wants to see it when the model fails.
func describe(x any) any {
	switch x := x.(type) {
	case received:
		return fmt.Sprintf("%s of %s", x.events[0].Name, x.events[0].Key)
	case answer:
		if x.kind == list {
			return x.err
		}
		return fmt.Sprintf("%+v: %v", x.key, x.err)
	case report:
		var out []string
		for _, e := range x.events {
			out = append(out, fmt.Sprint(e.Type, " ", e.Entity))
		}
		return out
	}
	return x
}
