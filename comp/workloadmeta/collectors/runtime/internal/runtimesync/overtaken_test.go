package runtimesync

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// liveMachine returns a machine that is connected to a runtime and synced, and the time it has.
func liveMachine(t *testing.T) (*machine, time.Time) {
	t.Helper()
	s := newSyncer(t, nil)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.machine.step(connected{}, now)
	s.machine.step(answer{request: request{kind: list}}, now)
	if s.machine.conn.phase != live {
		t.Fatalf("it is in phase %v", s.machine.conn.phase)
	}
	return s.machine, now
}

// told returns what a machine has to report, and forgets it.
func told(m *machine) string {
	var out []string
	for _, ev := range m.news {
		c := ev.Entity.(*workloadmeta.Container)
		text := fmt.Sprint(ev.Type, " ", c.Hostname, " ", c.State.Status)
		if c.State.ExitCode != nil {
			text += fmt.Sprint(" ", *c.State.ExitCode)
		}
		out = append(out, text)
	}
	m.news = nil
	return strings.Join(out, ", ")
}

// named returns a container in a state whose view can be told by its host's name.
func named(hostname string, status workloadmeta.ContainerStatus,
	started time.Time) *workloadmeta.Container {
	c := mapping.NewContainer("a", "fake")
	c.Hostname = hostname
	c.State.Status, c.State.Running = status, status == workloadmeta.StatusRunning
	c.State.StartedAt = started
	return c
}

// An inspection that an event has overtaken is used where that does no harm.
func TestWhatAnOvertakenInspectionIsGoodFor(t *testing.T) {
	const running, stopped = workloadmeta.StatusRunning, workloadmeta.StatusStopped
	one, three := int64(1), int64(3)
	for name, c := range map[string]struct {
		phase       phase
		view, event bool // it has been reported; an event has told that it runs
		ended       bool // an event has told that it has ended
		code        *int64
		changed     int // the clock when an event changed it, after the inspection
		keep, later bool
		policy      string
		status      workloadmeta.ContainerStatus
		want        string
		wantPhase   phase
		wantGone    bool
	}{
		"it starts": {phase: starting, view: true, policy: "always", status: running,
			want: "set inspected running", wantPhase: reported},
		"it is back": {phase: returning, view: true, policy: "always", status: running,
			want: "set inspected running", wantPhase: reported},
		"it may be ending": {phase: ending, view: true, policy: "always", status: running,
			want: "set inspected running", wantPhase: ending},
		"it may be restarted": {phase: ending, view: true, policy: "always", status: stopped,
			wantPhase: ending},
		"nobody has heard of it": {phase: starting, policy: "always", status: running,
			wantPhase: starting},
		"an event knows better": {phase: reported, view: true, policy: "always", status: running,
			changed: 1, wantPhase: reported},
		"no event knows better": {phase: reported, view: true, policy: "always", status: running,
			want: "set inspected running", wantPhase: reported},
		"it is kept": {phase: reported, view: true, policy: "no", status: stopped, ended: true,
			keep: true, wantPhase: reported},
		"it is kept and runs": {phase: reported, view: true, policy: "always", status: running,
			keep: true, wantPhase: reported},
		"it is a pause container": {phase: excluded, view: false, policy: "no", status: stopped,
			ended: true, wantPhase: excluded},
		"it has ended": {phase: ending, view: true, policy: "no", status: running, ended: true,
			code: &one, want: "unset old stopped 1", wantGone: true},
		"it has ended with a code": {phase: ending, view: true, policy: "no", status: stopped,
			ended: true, code: &one, want: "unset old stopped 1", wantGone: true},
		"it has ended, the event hides how": {phase: ending, view: true, policy: "no",
			status: stopped, ended: true, want: "unset old stopped 3", wantGone: true},
		"it has ended, nobody knows how": {phase: ending, view: true, policy: "no",
			status: running, ended: true, want: "unset old stopped", wantGone: true},
		"it has ended, nobody had heard of it": {phase: ending, policy: "no", status: stopped,
			ended: true, want: "set inspected running, unset inspected stopped 3", wantGone: true},
		"it has ended, an event had told of its start": {phase: ending, event: true, policy: "no",
			status: workloadmeta.StatusCreated, ended: true, code: &one,
			want: "set inspected running, unset inspected stopped 1", wantGone: true},
		"it ended, and was started by hand": {phase: ending, view: true, policy: "no",
			status: running, ended: true, later: true, wantPhase: ending},
		"it has not ended": {phase: reported, view: true, policy: "no", status: running,
			wantPhase: reported},
	} {
		t.Run(name, func(t *testing.T) {
			m, now := liveMachine(t)
			m.clock = 100
			a := m.track("a")
			a.phase, a.policy = c.phase, "no"
			if c.view {
				m.set(a, named("old", running, now))
				a.phase = c.phase
				told(m)
			}
			began := now.Add(time.Second)
			if c.event {
				a.fallback = named("event", running, began)
			}
			if c.ended {
				a.end = &end{at: now.Add(time.Minute), code: c.code}
			}
			a.lastChange = uint64(100 + c.changed)
			in := named("inspected", c.status, began)
			if c.status == stopped {
				in.State.ExitCode = &three
			}
			if c.status == workloadmeta.StatusCreated {
				in.State.StartedAt = time.Time{}
			}
			if c.later {
				in.State.StartedAt = now.Add(time.Hour)
			}
			m.handleOvertaken(a, &answer{request: request{clock: 100}, container: Container{
				Key: "a", Entity: in, Policy: c.policy, Keep: c.keep}})
			if got := told(m); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
			if gone := m.containers["a"] == nil; gone != c.wantGone || !gone &&
				a.phase != c.wantPhase {
				t.Errorf("gone: %v, phase %v", gone, a.phase)
			}
			if a.view != nil && c.wantGone && !c.view && !a.view.State.StartedAt.Equal(began) {
				t.Errorf("it was started at %s, want %s", a.view.State.StartedAt, began)
			}
		})
	}
}

// What an inspection says of the end of a container is used, with what events told before it.
func TestWhatAnInspectionSaysOfAnEnd(t *testing.T) {
	three := int64(3)
	for name, c := range map[string]struct {
		view, event bool
		status      workloadmeta.ContainerStatus
		restarted   bool // and then it is removed
		want        string
	}{
		"reported": {view: true, status: workloadmeta.StatusStopped, want: "unset old stopped 3"},
		"reported, and never started": {view: true, status: workloadmeta.StatusCreated,
			want: "unset old stopped 1"},
		"an event had told of its start": {event: true, status: workloadmeta.StatusStopped,
			want: "set inspected running, unset inspected stopped 3"},
		"reported, and an event of a start": {view: true, event: true,
			status: workloadmeta.StatusStopped, want: "unset old stopped 3"},
		"nobody had told of it": {status: workloadmeta.StatusStopped, want: ""},
		"it runs again, and is removed": {view: true, status: workloadmeta.StatusRunning,
			restarted: true, want: "set inspected running, unset inspected stopped"},
		"it is being restarted, and is removed": {view: true,
			status: workloadmeta.StatusRestarting, restarted: true,
			want: "set inspected restarting 3, unset inspected stopped 1"},
	} {
		t.Run(name, func(t *testing.T) {
			m, now := liveMachine(t)
			a := m.track("a")
			if c.view {
				m.set(a, named("old", workloadmeta.StatusRunning, now))
				told(m)
			}
			if c.event {
				a.fallback = named("event", workloadmeta.StatusRunning, now)
			}
			one := int64(1)
			a.end = &end{at: now.Add(time.Minute), code: &one}
			in := named("inspected", c.status, now)
			if c.status != workloadmeta.StatusRunning {
				in.State.ExitCode = &three
			}
			m.handleInspected(a, Container{Key: "a", Entity: in, Policy: "always"})
			if c.restarted {
				m.handleEvent(&Event{Action: ActionRemoved, Key: "a"})
			}
			if got := told(m); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

// Whoever waits for an inspection that has failed does with what is known, unless another may still
// come in time.
func TestWhatAFailedInspectionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		phase phase
		conn  connPhase
		view  bool
		want  string
	}{
		"it is back":                       {returning, live, true, "set event running"},
		"it is back, at the beginning":     {returning, catchingUp, true, "set event running"},
		"it starts":                        {starting, live, false, ""},
		"it starts, at the beginning":      {starting, catchingUp, false, "set event running"},
		"it ends":                          {ending, catchingUp, false, ""},
		"it is in no list":                 {unlisted, live, true, "unset old stopped"},
		"it is in no list to begin with":   {unlisted, catchingUp, true, ""},
		"it is reported":                   {reported, live, true, ""},
		"it is reported, at the beginning": {reported, catchingUp, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, now := liveMachine(t)
			a := m.track("a")
			if c.view {
				m.set(a, named("old", workloadmeta.StatusRunning, now))
				told(m)
			}
			a.phase, m.conn.phase = c.phase, c.conn
			a.fallback = named("event", workloadmeta.StatusRunning, now)
			m.handleFailure(key{image: true, id: "a"})
			m.handleFailure(key{id: "unknown"})
			if got := told(m); got != "" {
				t.Errorf("told %q of others' failures", got)
			}
			m.handleFailure(keyOf(a))
			if got := told(m); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

// A start tells less than was known before, and what is new of it counts.
func TestAStartKeepsWhatItDoesNotTell(t *testing.T) {
	before, running := named("before", workloadmeta.StatusCreated, time.Time{}),
		named("", workloadmeta.StatusRunning, time.Now())
	running.NetworkIPs = map[string]string{"bridge": "10.0.0.2"}
	running.NetworkIPv6s = map[string]string{"bridge": "fd00::2"}
	running.Ports = []workloadmeta.ContainerPort{{Port: 2}}
	addresses := func(c *workloadmeta.Container) string {
		return fmt.Sprint(c.NetworkIPs, c.NetworkIPv6s, len(c.Ports) > 0 && c.Ports[0].Port == 2)
	}
	if got, want := addresses(startedAs(before, running)), addresses(running); got != want {
		t.Errorf("addresses %s, want %s", got, want)
	}
	for name, known := range map[string]func(*workloadmeta.Container){
		"IPv4": func(c *workloadmeta.Container) {
			c.NetworkIPs = map[string]string{"bridge": "10.0.0.1"}
		},
		"IPv6": func(c *workloadmeta.Container) {
			c.NetworkIPv6s = map[string]string{"bridge": "fd00::1"}
		},
		"both": func(c *workloadmeta.Container) {
			c.NetworkIPs = map[string]string{"bridge": "10.0.0.1"}
			c.NetworkIPv6s = map[string]string{"bridge": "fd00::1"}
		},
	} {
		b := *before
		known(&b)
		b.Ports = []workloadmeta.ContainerPort{{Port: 1}}
		if got, want := addresses(startedAs(&b, running)), addresses(&b); got != want {
			t.Errorf("%s known: addresses %s, want %s", name, got, want)
		}
	}
}

// A label may hide how a container ended; then only its inspection tells.
func TestALabelThatHidesTheExitCode(t *testing.T) {
	code := int64(99)
	for label, want := range map[string]string{"": "unset old stopped 99", "hides": ""} {
		m, now := liveMachine(t)
		a := m.track("a")
		v := named("old", workloadmeta.StatusRunning, now)
		v.Labels = map[string]string{"": "nothing", "hides": "yes"}
		a.policy = "no"
		m.set(a, v)
		told(m)
		m.handleEvent(&Event{Action: ActionEnded, Key: "a", ExitCode: &code, CodeLabel: label,
			At: now.Add(time.Minute)})
		if got := told(m); got != want {
			t.Errorf("hidden by %q: told %q, want %q", label, got, want)
		}
		if m.stats.DecodePanics != 0 {
			t.Errorf("hidden by %q: a panic", label)
		}
	}
}

// Each difference between a list and what the events have told counts once.
func TestADifferenceCountsOnce(t *testing.T) {
	m, now := liveMachine(t)
	m.enter(m.track("a"), created, 0) // its start has been missed
	in := Container{Key: "a", Entity: named("a", workloadmeta.StatusRunning, now)}
	if n := m.compareContainers(&Listing{Containers: []Container{in}}, m.clock); n != 1 {
		t.Errorf("a missed start counts %d", n)
	}
	image := func(tag string) *Listing {
		return &Listing{Images: []Image{{Entity: &workloadmeta.ContainerImageMetadata{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: "i"},
			RepoTags: []string{tag}}}}}
	}
	for _, tag := range []string{"app:1", "app:2"} {
		if n := m.compareImages(image(tag), m.clock); n != 1 {
			t.Errorf("image %s counts %d", tag, n)
		}
	}
}

// A panic over an event is counted, and the lists are to make up for it.
func TestAPanicOverAnEventIsCounted(t *testing.T) {
	m := newSyncer(t, nil).machine // without a connection, it cannot look
	m.handleEvent(&Event{Action: ActionStarted, Key: "a"})
	if m.stats.DecodePanics != 1 || !m.conn.lostEvents {
		t.Errorf("%d panics; lists make up for them: %v", m.stats.DecodePanics, m.conn.lostEvents)
	}
}

// Lists that fail again and again end the connection, which then says how often.
func TestListsThatFailEndTheConnection(t *testing.T) {
	m, now := liveMachine(t)
	for try := 1; try <= listTries; try++ {
		var ended error
		for _, o := range m.step(answer{request: request{kind: list}, err: errors.New("broken")},
			now) {
			switch o := o.(type) {
			case fail:
				ended = o.err
			case note:
				if o.level != slog.LevelWarn {
					t.Errorf("%+v", o)
				}
			}
		}
		if (ended != nil) != (try == listTries) || ended != nil &&
			ended.Error() != "broken (3 times in a row)" {
			t.Errorf("after %d: %v", try, ended)
		}
	}
}
