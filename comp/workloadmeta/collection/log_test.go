package collection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// A message with something new in it each time does not fill the log.
func TestTheLogIsToldOfSoManyDifferentTroubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := start(t, collection.Options{},
			&fakePuller{fake{id: "kubelet"}, func(context.Context, workloadmeta.Sink) error {
				n++
				return fmt.Errorf("port %d is closed", n)
			}},
			&fakeStreamer{fake{id: "docker"},
				func(ctx context.Context, sink workloadmeta.Sink) error {
					for i := range 40 {
						kind := workloadmeta.Kind(100 + i)
						sink.Unset(&workloadmeta.Container{EntityID: workloadmeta.EntityID{
							Kind: kind, ID: "a"}})
					}
					sink.Synced()
					<-ctx.Done()
					return nil
				}})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if aloud := len(r.log.lines("level=WARN", "is closed")); aloud != 16 || n < 40 {
			t.Errorf("of %d failures %d were logged aloud, want 16", n, aloud)
		}
		invalid := r.status("docker").InvalidEvents
		if aloud := len(r.log.lines("level=WARN", "not valid")); aloud != 32 || invalid != 40 {
			t.Errorf("of %d problems %d were logged aloud, want 32", invalid, aloud)
		}
	})
}

// What fails again after it has been well for long is news.
func TestAPullThatWasWellForLongMayComplainAgain(t *testing.T) {
	for well, want := range map[time.Duration]int{20 * second: 1, time.Minute: 2} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			r := start(t, collection.Options{}, &fakePuller{fake{id: "kubelet"},
				func(context.Context, workloadmeta.Sink) error {
					if since := time.Since(begun); since == 0 || since > well {
						return errDown
					}
					return nil
				}})
			time.Sleep(2 * time.Minute)
			if n := len(r.log.lines("level=WARN", "connection refused")); n != want {
				t.Errorf("well for %s, it was logged aloud %d times, want %d", well, n, want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		// A stream says itself when it has been well for long: a connection alone is not enough.
		r := start(t, collection.Options{}, &fakeStreamer{fake{id: "docker"},
			func(_ context.Context, sink workloadmeta.Sink) error {
				time.Sleep(time.Minute)
				sink.Synced()
				return errDown
			}})
		time.Sleep(10 * time.Minute)
		if n := len(r.log.lines("level=WARN", "connection refused")); n != 1 {
			t.Errorf("logged aloud %d times, want once", n)
		}
	})
}

// The log says once that a collector is live, and with what it has found and what helps.
func TestTheLogSaysWhatIsFoundAndWhatHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		denied := &workloadmeta.Error{Cause: workloadmeta.CauseDenied, Err: errors.New("no access")}
		r := start(t, collection.Options{},
			&fakeBoth{fake{id: "both"}, func(ctx context.Context, sink workloadmeta.Sink) error {
				time.Sleep(second)
				sink.Synced()
				<-ctx.Done()
				return nil
			}, listing()},
			&fakePuller{fake{id: "denied"}, failing(denied)},
			&fakePuller{fake{id: "late"}, script(failing(errDown), listing())},
			&fakeStreamer{fake{id: "none", detect: func() workloadmeta.Detection {
				return workloadmeta.Detection{Reason: "no daemon", Cause: workloadmeta.CauseAbsent}
			}}, nil},
			&fakeStreamer{fake{id: "own", detect: func() workloadmeta.Detection {
				return workloadmeta.Detection{Reason: "no daemon", Hint: "set own.host",
					Cause: workloadmeta.CauseAbsent}
			}}, nil})
		synctest.Wait()
		if n := len(r.log.lines("collector=both", "collector is live")); n != 0 {
			t.Error("it is said to be live before its stream is")
		}
		time.Sleep(time.Minute)
		for _, c := range []struct {
			id, message string
			lines       int
			part        string // in each
		}{
			{"both", "collector is live\"", 1, ""},
			{"both", "collector starts", 1, "reason=\"always there\"\n"}, // and no hint
			{"denied", "level=WARN msg=\"collector failed\"", 1, `hint="run as root, or give this user access"`},
			{"late", "collector is live\"", 0, ""},
			{"late", "collector is live again", 1, ""},
			{"late", "collector failed\"", 1, "error=\"connection refused\" retry_in"},
			{"none", "nothing to collect here", 1, `hint="start the daemon"`},
			{"own", "nothing to collect here", 1, `hint="set own.host"`},
		} {
			lines := r.log.lines("collector="+c.id, c.message)
			if len(lines) != c.lines {
				t.Errorf("%s: %d lines of %q, want %d", c.id, len(lines), c.message, c.lines)
			}
			for _, line := range lines {
				if !strings.Contains(line, c.part) {
					t.Errorf("no %q in %s", c.part, line)
				}
			}
		}
	})
}

// The line that says that the store is not waited for any longer names those who are late.
func TestWhoIsLateIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context, _ workloadmeta.Sink) error {
			<-ctx.Done()
			return nil
		}
		r := start(t, collection.Options{}, &fakeStreamer{fake{id: "a"}, hangs},
			&fakeStreamer{fake{id: "b"}, staying()}, &fakeStreamer{fake{id: "c"}, hangs})
		time.Sleep(time.Minute)
		if n := len(r.log.lines("level=WARN", `collectors="a, c"`)); n != 1 {
			t.Errorf("%d lines name those who are late", n)
		}
	})
}
