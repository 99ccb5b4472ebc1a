package podman

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// partOf returns what is told of an address.
func partOf(c *Collector, address string) string {
	for _, p := range c.Parts() {
		if p.Name == address {
			return fmt.Sprintf("%s: %s", p.State, p.Problem)
		}
	}
	return "not told"
}

// Known bug: a path that was misspelt among the configured ones was nowhere to be seen.
func TestPartsHaveWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	good, missing, pattern := filepath.Join(dir, "p.sock"), filepath.Join(dir,
		"nope.sock"), filepath.Join(dir, "*", "p.sock")
	f := newFake(t)
	collectortest.ServeSocket(t, good, f)
	c, err := New(Options{Sockets: []string{good, "unix://" + missing, missing, pattern},
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.places = append(c.places, place{"ssh://core:secret@host/p.sock", false, true})
	w := collectortest.NewWorld()
	sink := &signallingSink{w.Sink(), make(chan struct{})}
	s := collectortest.Start(t, c.Stream, sink)
	<-sink.synced
	parts := c.Parts()
	if len(parts) != 3 || parts[0].State != collection.StateLive {
		t.Errorf("parts = %+v", parts)
	}
	if got := partOf(c, missing); !strings.HasPrefix(got,
		"waiting: no socket at "+missing+"; start it with `systemctl enable --now podman.socket`") {
		t.Errorf("of the missing socket: %q", got)
	}
	if got := partOf(c, "ssh://core:…@host/p.sock"); !strings.Contains(got,
		"scheme ssh is not supported; want a path") || strings.Contains(got, "secret") {
		t.Errorf("of the address that makes no sense: %q", got)
	}
	if got := c.missing().String(); strings.Contains(got, "secret") {
		t.Errorf("of what is missing: %q", got)
	}
	s.Stop()
}

// signallingSink says when it is synced.
type signallingSink struct {
	*collectortest.Sink
	synced chan struct{}
}

func (s *signallingSink) Synced() { s.Sink.Synced(); close(s.synced) }

func TestPartsSayWhatIsWrongWithASocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, frozen, refused := newFake(t), newFake(t), newFake(t)
		good.run(&fakeContainer{ID: "c1"})
		frozen.Hang("_ping")
		refused.down = syscall.ECONNREFUSED
		c := newTestCollector(t,
			map[string]*fakePodman{"/a.sock": good, "/b.sock": frozen, "/c.sock": refused}, nil)
		w := collectortest.NewWorld()
		s := collectortest.Start(t, c.Stream, w.Sink())
		pass(time.Second)
		if got := partOf(c, "/b.sock"); got != "waiting: it has not answered yet" {
			t.Errorf("in its first attempt: %q", got)
		}
		if got := partOf(c, "/c.sock"); !strings.HasPrefix(got,
			"waiting: connection refused on /c.sock; start it with") {
			t.Errorf("refused: %q", got)
		}
		// What answers is live before the other's time is over.
		pass(c.opts.InitialWait)
		if w.Synced() != 1 || w.Containers() != "c1" ||
			partOf(c, "/a.sock") != "live: podman 4.3.1" {
			t.Errorf("synced %d times, %s, %q", w.Synced(), w.Containers(), partOf(c, "/a.sock"))
		}
		pass(c.opts.CallTimeout)
		if got := partOf(c, "/b.sock"); !strings.HasPrefix(got,
			"waiting: podman at /b.sock does not answer within 5s; restart") {
			t.Errorf("frozen: %q", got)
		}
		pass(5 * time.Minute)
		if s.Over() || w.Synced() != 1 {
			t.Errorf("over: %v, synced %d times", s.Over(), w.Synced())
		}
		frozen.Fail(nil)
		pass(20 * time.Second)
		if got := partOf(c, "/b.sock"); got != "live: podman 4.3.1" {
			t.Errorf("after it has been mended: %q", got)
		}
		s.Stop()
	})
}

// Where nothing else answers, one that is silent is waited for.
func TestSilentSocketAlone(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		f.Hang("_ping")
		s := collectortest.Start(t, c.Stream, w.Sink())
		pass(c.opts.InitialWait + time.Second)
		if s.Over() || w.Synced() != 0 {
			t.Errorf("over: %v, synced %d times", s.Over(), w.Synced())
		}
		pass(c.opts.CallTimeout)
		if !s.Over() || !strings.Contains(s.Err.Error(), "does not answer") {
			t.Errorf("over: %v, %v", s.Over(), s.Err)
		}
		s.Stop()
	})
}
