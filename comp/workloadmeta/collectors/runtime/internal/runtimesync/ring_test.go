package runtimesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// scripted is an event stream of which each element is what Next returns; then it ends.
type scripted struct {
	next []func() ([]Event, error)
}

func (s *scripted) Next() ([]Event, error) {
	if len(s.next) == 0 {
		return nil, io.EOF
	}
	first := s.next[0]
	s.next = s.next[1:]
	return first()
}

func (s *scripted) Close() error { return nil }

// scriptedClient has a scripted event stream.
type scriptedClient struct {
	*fakeClient
	stream *scripted
}

func (b *scriptedClient) Events(context.Context, time.Time) (Events, error) { return b.stream, nil }

func counted(n, size int) func() ([]Event, error) {
	return func() ([]Event, error) {
		events := make([]Event, n)
		for i := range events {
			events[i] = Event{Name: "counted", Size: size}
		}
		return events, nil
	}
}

// What has come before the event stream ends is handled, and what does not fit is counted.
func TestEventsThatWaitForAList(t *testing.T) {
	for name, c := range map[string]struct {
		next                             []func() ([]Event, error)
		handled, dropped, garbage, panic int
	}{
		"as many as fit": {next: []func() ([]Event, error){counted(1000, 0)}, handled: 1000},
		"too many": {next: []func() ([]Event, error){counted(1000, 0), counted(3, 0)},
			handled: 1000, dropped: 3},
		"too large": {next: []func() ([]Event, error){counted(5, maxRing/2)},
			handled: 2, dropped: 3},
		"room again, when they have been handled": {next: []func() ([]Event, error){
			counted(1000, 0), counted(3, maxRing/2),
			func() ([]Event, error) { time.Sleep(time.Minute); return counted(1, 0)() }},
			handled: 1001, dropped: 3},
		"garbage": {next: []func() ([]Event, error){
			func() ([]Event, error) { return nil, Lost(errors.New("garbage")) },
			func() ([]Event, error) { panic("garbage") }, counted(1, 0)},
			handled: 1, garbage: 1, panic: 1},
	} {
		t.Run(name, func(t *testing.T) {
			// Whether the ring or its end comes first is chance: each does a few times.
			for range 10 {
				synctest.Test(t, func(t *testing.T) {
					b := &scriptedClient{newFakeClient(), &scripted{next: c.next}}
					b.slowList = time.Second
					f := newSyncer(t, func(o *Options) { o.RingSize = 1000 })
					r := follow(t, f, b, collectortest.NewWorld())
					<-r.Done
					if r.Err == nil || r.Err.Error() != "the event stream has ended" {
						t.Errorf("it ended: %v", r.Err)
					}
					st := f.Stats()
					if st.Events["counted"] != c.handled || st.RingOverflow != c.dropped ||
						st.DecodeErrors != c.garbage || st.DecodePanics != c.panic {
						t.Errorf("%d handled, %d dropped, %d unreadable, %d panics",
							st.Events["counted"], st.RingOverflow, st.DecodeErrors,
							st.DecodePanics)
					}
				})
			}
		})
	}
}

// Events are handled in batches, and what a batch took of the ring is free again.
func TestABatchIsBounded(t *testing.T) {
	d := &driver{Syncer: newSyncer(t, nil), ring: make(chan *Event, 1000)}
	const n = maxBatch + 10
	for i := range n {
		ev := &Event{Size: i}
		d.ringBytes.Add(ev.size())
		d.ring <- ev
	}
	if got, want := d.ringBytes.Load(), int64(n*(n-1)/2+256*n); got != want {
		t.Errorf("%d bytes wait, want %d", got, want)
	}
	if got := len(d.batch(<-d.ring).events); got != maxBatch {
		t.Errorf("a batch of %d, want %d", got, maxBatch)
	}
	if got := len(d.batch(<-d.ring).events); got != 10 || d.ringBytes.Load() != 0 {
		t.Errorf("then one of %d; %d bytes wait", got, d.ringBytes.Load())
	}
}

// The log is told under the collector's name.
func TestTheOptionsLogIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := newSyncer(t, func(o *Options) {
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
				Level: slog.LevelDebug}))
		})
		b := &scriptedClient{newFakeClient(), &scripted{next: []func() ([]Event, error){
			func() ([]Event, error) { return nil, Lost(errors.New("garbage")) }}}}
		r := follow(t, f, b, collectortest.NewWorld())
		<-r.Done
		if !strings.Contains(log.String(), "collector=fake error=garbage") {
			t.Errorf("the log says %q", log.String())
		}
	})
}

// troubled is a client whose inspections fail.
type troubled struct {
	*fakeClient
	err, ping error
	tries     []time.Duration // since begun
	begun     time.Time
}

func (b *troubled) Inspect(context.Context, string) (Container, error) {
	b.with(func() { b.tries = append(b.tries, time.Since(b.begun)) })
	return Container{}, b.err
}

func (b *troubled) Ping(context.Context) error { return b.ping }

// A container that cannot be inspected is tried again after a pause, which grows if the runtime is
// well and it is the container that hangs.
func TestPausesOfAContainerThatCannotBeInspected(t *testing.T) {
	hangs := context.DeadlineExceeded
	for name, c := range map[string]struct {
		err, ping error
		want      string
	}{
		"it fails":          {errors.New("broken"), nil, "0s 5s 10s 15s 20s 25s"},
		"it hangs":          {hangs, nil, "0s 5s 15s 35s 1m15s 2m35s 5m15s 10m15s 15m15s"},
		"the runtime hangs": {hangs, errors.New("no answer"), "0s 5s 10s 15s 20s 25s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &troubled{fakeClient: newFakeClient(), err: c.err, ping: c.ping,
					begun: time.Now()}
				b.run("a", "a", "", nil)
				f := newSyncer(t, func(o *Options) { o.PingEvery = 10 * time.Hour })
				r := follow(t, f, b, collectortest.NewWorld())
				time.Sleep(20 * time.Minute)
				r.Stop()
				got := strings.Trim(fmt.Sprint(b.tries), "[]")
				if !strings.HasPrefix(got, c.want) {
					t.Errorf("tried after %s, want %s", got, c.want)
				}
			})
		})
	}
}

// What has started is reported in time, whatever else is waited for.
func TestNobodyWaitsForAnothersInspection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		f := newSyncer(t, nil)
		r := follow(t, f, b, w)
		time.Sleep(time.Second)
		b.with(func() { b.slow = 5 * time.Second })
		b.send(startEvent("a"))
		time.Sleep(200 * time.Millisecond)
		if w.Container("a") != nil {
			t.Error("it is not waited for")
		}
		b.send(startEvent("b"))
		time.Sleep(100 * time.Millisecond)
		if w.Container("a") == nil || w.Container("b") != nil {
			t.Errorf("told %q, want a", w.News())
		}
		time.Sleep(200 * time.Millisecond)
		if w.Container("b") == nil {
			t.Errorf("told %q, want b", w.News())
		}
		r.Stop()
	})
}

// Synced promises that what is there has been reported, however short a time is allowed for it.
func TestBeforeSyncedEverythingIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", "", nil)
		b.slow = 5 * time.Second
		r := follow(t, newSyncer(t, func(o *Options) { o.InitialWait = startWait / 2 }), b, w)
		time.Sleep(startWait / 2)
		synctest.Wait()
		if w.Synced() != 1 || w.Container("a") == nil {
			t.Errorf("synced %d times; told %q", w.Synced(), w.News())
		}
		time.Sleep(10 * time.Second)
		r.Stop()
	})
}

// A container of an earlier connection that the first list does not have, and that is started then,
// is back, with what the start tells.
func TestAStartBringsBackWhatTheListDoesNotHave(t *testing.T) {
	for _, tells := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, w := newFakeClient(), collectortest.NewWorld()
			b.run("a", "a", "", func(c *Container) {
				c.Entity.PID, c.Entity.Hostname = 1, "known"
			})
			f := newSyncer(t, nil)
			r := follow(t, f, b, w)
			time.Sleep(time.Second)
			r.Stop()
			w.News()
			b.with(func() { delete(b.containers, "a"); b.slow = 5 * time.Second })
			r = follow(t, f, b, w)
			synctest.Wait()
			ev := startEvent("a")
			want := 42
			if !tells {
				ev.Container, want = nil, 1
			}
			b.send(ev)
			time.Sleep(4 * time.Second)
			c := w.Container("a")
			if c == nil || c.PID != want || c.Hostname != "known" || w.Synced() != 2 {
				t.Errorf("told %q, synced %d times; a = %+v", w.News(), w.Synced(), c)
			}
			time.Sleep(20 * time.Second)
			r.Stop()
		})
	}
}

// Inspections are counted by what has become of them.
func TestInspectionsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", "", nil)
		f := newSyncer(t, nil)
		r := follow(t, f, b, w)
		time.Sleep(time.Second)
		b.with(func() { b.slow = time.Second })
		b.send(Event{Action: ActionPaused, Key: "a"})
		time.Sleep(500 * time.Millisecond)
		b.send(Event{Action: ActionResumed, Key: "a"}) // makes the inspection void
		time.Sleep(3 * time.Second)
		b.with(func() { delete(b.containers, "a") })
		b.send(Event{Action: ActionChanged, Key: "a"})
		time.Sleep(2 * time.Second)
		if got := fmt.Sprint(f.Stats().Inspects); got != "map[gone:1 ok:2 stale:1]" {
			t.Errorf("counted %s", got)
		}
		r.Stop()
	})
}
