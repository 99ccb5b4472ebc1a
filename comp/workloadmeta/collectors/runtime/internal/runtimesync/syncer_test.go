package runtimesync

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

var image1 = "sha256:" + strings.Repeat("ab", 32)

// What every runtime has in common is tested with Docker, whose collector has a whole fake daemon.
// Here is what Docker does not do.

func TestWhatListsTellWholeIsNotInspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		complete := func(c *Container) { c.Complete = true }
		b.run("a", "a", image1, complete)
		b.run("b", "b", image1, complete)
		b.images[image1] = fakeImage(image1, 1, "app:1")
		r := follow(t, newSyncer(t, nil), b, w)
		synctest.Wait()
		if got := w.News(); got != "set a, set b" || w.Synced() != 1 {
			t.Errorf("told %q, synced %d times", got, w.Synced())
		}
		if inspected, lists := b.called("inspect")+
			b.called("image"), b.called("list"); inspected != 0 || lists != 1 {
			t.Errorf("%d inspections, %d lists", inspected, lists)
		}
		// What a later list tells differently is taken from it.
		b.run("b", "b", image1, func(c *Container) { c.Complete = true; c.Entity.Hostname = "new" })
		b.with(func() { delete(b.containers, "a") })
		time.Sleep(time.Minute)
		if c := w.Container("b"); c == nil || c.Hostname != "new" {
			t.Errorf("b = %v", c)
		}
		if got := w.News(); got != "set b, unset a" {
			t.Errorf("told %q", got)
		}
		if r.Stop(); r.Err == nil {
			t.Error("a stream that is stopped says nothing")
		}
	})
}

// What becomes somebody else's is given up at once: no event of its end is on its way.
func TestWhatIsLeftToAnotherCollectorEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, nil)
		b.run("b", "b", image1, nil)
		defer follow(t, newSyncer(t, nil), b, w).Stop()
		time.Sleep(20 * time.Second) // past the comparison after connecting
		w.News()
		b.with(func() { b.leaves = "a"; delete(b.containers, "a") })
		b.send(Event{Action: ActionCompare})
		time.Sleep(1500 * time.Millisecond) // lists are a second apart
		if got := w.News(); got != "unset a" {
			t.Errorf("told %q", got)
		}
	})
}

// What has gone while nobody listened, and cannot be looked at before Synced, is the store's to
// take away, once.
func TestWhatIsMissingAtSyncedIsTakenAwayOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, nil)
		f := newSyncer(t, nil)
		r := follow(t, f, b, w)
		time.Sleep(time.Second)
		r.Stop()
		w.News()
		b.with(func() { delete(b.containers, "a"); b.slow = 3 * time.Second })
		defer follow(t, f, b, w).Stop()
		time.Sleep(time.Minute)
		if got := w.News(); got != "swept a" {
			t.Errorf("told %q", got)
		}
	})
}

// A list may lag behind an end that an event has told: that it still has the container brings
// nothing back before it is inspected.
func TestAListThatLagsBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := int64(0)
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, nil)
		defer follow(t, newSyncer(t, nil), b, w).Stop()
		time.Sleep(20 * time.Second) // past the comparison after connecting
		b.send(Event{Action: ActionEnded, Key: "a", ExitCode: &code, At: time.Now()})
		time.Sleep(5 * time.Second)
		w.News()
		b.with(func() { b.slow = 5 * time.Second })
		b.send(Event{Action: ActionCompare})
		time.Sleep(4 * time.Second)
		if got := w.News(); got != "" {
			t.Errorf("told %q", got)
		}
	})
}

// A daemon that is stopped with SIGSTOP keeps its connections open and says nothing.
func TestSilentRuntimeIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, nil)
		f := newSyncer(t, nil)
		r := follow(t, f, b, w)
		time.Sleep(5 * time.Minute)
		if pings := b.called("ping"); pings < 15 || pings > 25 {
			t.Errorf("%d pings in five quiet minutes", pings)
		}
		if r.Over() {
			t.Fatalf("a runtime that answers is given up: %v", r.Err)
		}
		w.News()
		b.with(func() { b.hung = true })
		began := time.Now()
		<-r.Done
		if took := time.Since(began); r.Err == nil || took > 25*time.Second {
			t.Errorf("given up after %v: %v", took, r.Err)
		}
		if !strings.Contains(r.Err.Error(), "ping: context deadline exceeded") {
			t.Errorf("error %q does not say why", r.Err)
		}
		if got := w.News(); got != "" || w.Container("a") == nil {
			t.Errorf("a connection that is lost takes containers away: %q", got)
		}
		// The next connection repairs what has changed meanwhile.
		b.with(func() { b.hung = false; delete(b.containers, "a") })
		b.run("b", "b", image1, nil)
		r = follow(t, f, b, w)
		time.Sleep(3 * time.Second)
		if got := w.News(); got != "set b, unset a" && got != "unset a, set b" {
			t.Errorf("told %q", got)
		}
		r.Stop()
	})
}

// A list may have come before the event that tells how a container ended: it is waited for, in the
// gap between two connections and later.
func TestTheEventOfAnEndMayComeAfterTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := int64(137)
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, nil)
		b.run("b", "b", image1, nil)
		f := newSyncer(t, nil)
		r := follow(t, f, b, w)
		time.Sleep(time.Second)
		r.Stop()
		b.with(func() { delete(b.containers, "a") })
		r = follow(t, f, b, w)
		time.Sleep(500 * time.Millisecond)
		b.send(Event{Action: ActionEnded, Key: "a", ExitCode: &code, At: time.Now()},
			Event{Action: ActionRemoved, Key: "a"})
		time.Sleep(time.Second)
		if c := w.Ended("a"); c == nil || c.State.ExitCode == nil || *c.State.ExitCode != code ||
			w.Synced() != 2 {
			t.Errorf("it ended as %+v; synced %d times", c, w.Synced())
		}
		b.with(func() { delete(b.containers, "b") })
		for b.called("list") == 2 {
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		b.send(Event{Action: ActionEnded, Key: "b", ExitCode: &code, At: time.Now()},
			Event{Action: ActionRemoved, Key: "b"})
		time.Sleep(time.Second)
		if c := w.Ended("b"); c == nil || c.State.ExitCode == nil || *c.State.ExitCode != code {
			t.Errorf("it ended as %+v", c)
		}
		r.Stop()
	})
}

func TestOneIDInTwoNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("blue/web", "web", image1, nil)
		b.run("green/web", "web", image1, nil)
		f := newSyncer(t, nil)
		r := follow(t, f, b, w)
		time.Sleep(time.Second)
		first := w.Container("web")
		if first == nil || w.News() != "set web" {
			t.Fatalf("web = %v", first)
		}
		// Neither lists nor events may make it swap.
		b.send(Event{Action: ActionChanged, Key: "blue/web"},
			Event{Action: ActionChanged, Key: "green/web"}, Event{Action: ActionCompare})
		time.Sleep(time.Minute)
		if got := w.News(); got != "" {
			t.Errorf("told %q, although nothing changed", got)
		}
		if n := f.Stats().Differences; n != 0 {
			t.Errorf("lists are said to differ %d times", n)
		}
		// The end of the one that is reported is the other's turn; that of the other is nobody's
		// business.
		other := map[string]string{"blue/web": "green/web", "green/web": "blue/web"}[first.Name]
		b.with(func() { delete(b.containers, first.Name) })
		code := int64(3)
		b.send(Event{Action: ActionEnded, Key: first.Name, ExitCode: &code, At: time.Now()})
		time.Sleep(time.Second)
		if c := w.Container("web"); c == nil || c.Name != other {
			t.Errorf("web = %v, want that of %s", c, other)
		}
		if got := w.News(); got != "unset web exit 3, set web" {
			t.Errorf("told %q", got)
		}
		r.Stop()
	})
}

func TestKeptContainersStayUntilTheyAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		keep := func(c *Container) { c.Keep = true }
		b.run("pod", "pod", image1, keep)
		b.run("plain", "plain", image1, nil)
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Second)
		w.News()
		code := int64(137)
		for _, key := range []string{"pod", "plain"} {
			b.with(func() {
				c := copied(b.containers[key])
				c.Entity.State = workloadmeta.ContainerState{Status: workloadmeta.StatusStopped,
					ExitCode: &code}
				b.containers[key] = c
			})
			b.send(Event{Action: ActionEnded, Key: key, ExitCode: &code, At: time.Now()})
		}
		time.Sleep(time.Minute)
		c := w.Container("pod")
		if c == nil || c.State.Running || c.State.Status != workloadmeta.StatusStopped ||
			*c.State.ExitCode != 137 {
			t.Errorf("the pod's container = %v", c)
		}
		if w.Container("plain") != nil {
			t.Error("the plain container is still there")
		}
		b.with(func() { delete(b.containers, "pod") })
		b.send(Event{Action: ActionRemoved, Key: "pod"})
		time.Sleep(time.Second)
		if got := w.News(); w.Container("pod") != nil ||
			!strings.Contains(got, "unset pod exit 137") {
			t.Errorf("after its removal: %q", got)
		}
		// One that is created is looked at, and reported only if it is to be kept.
		created := func(keep bool) func(*Container) {
			return func(c *Container) {
				c.Keep, c.Entity.State = keep, workloadmeta.ContainerState{
					Status: workloadmeta.StatusCreated}
			}
		}
		b.run("kept", "kept", image1, created(true))
		b.run("notkept", "notkept", image1, created(false))
		b.send(Event{Action: ActionCreated, Key: "kept"},
			Event{Action: ActionCreated, Key: "notkept"})
		time.Sleep(time.Minute)
		if w.Container("kept") == nil || w.Container("notkept") != nil {
			t.Errorf("created: %q", w.News())
		}
		r.Stop()
	})
}

// Known bug: a tag that moved while a container ran changed the container's image.
func TestImageOfAContainerIsItsOwnForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image2 := "sha256:" + strings.Repeat("cd", 32)
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, nil)
		b.images[image1] = fakeImage(image1, 1, "app:1")
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Second)
		b.run("a", "a", image2, nil) // the runtime finds the image by its name
		b.with(func() {
			b.images[image1], b.images[image2] = fakeImage(image1, 2), fakeImage(image2, 2, "app:1")
		})
		b.send(Event{Action: ActionImageChanged, Key: image2},
			Event{Action: ActionChanged, Key: "a"})
		time.Sleep(time.Minute)
		if c := w.Container("a"); c.Image.ID != image1 || c.Image.Name != "app" ||
			c.Image.Tag != "1" {
			t.Errorf("image = %+v", c.Image)
		}
		if i := w.Image(image1); i == nil || len(i.RepoTags) != 0 {
			t.Errorf("the old image = %v: its name has moved away", i)
		}
		r.Stop()
	})
}

func TestContainersShareTheirImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.images[image1] = fakeImage(image1, 1, "app:1")
		b.run("a", "a", strings.Clone(image1), nil)
		b.run("b", "b", strings.Clone(image1), nil)
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Second)
		x, y := w.Container("a").Image, w.Container("b").Image
		if x.ID != image1 || unsafe.StringData(x.ID) != unsafe.StringData(y.ID) {
			t.Errorf("%+v and %+v share nothing", x, y)
		}
		r.Stop()
	})
}

func TestOvertakenAnswerAboutAnImageIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.images[image1] = fakeImage(image1, 5, "app:1", "app:2")
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Second)
		b.with(func() { b.images["app:1"] = fakeImage(image1, 4, "app:1") })
		b.send(Event{Action: ActionImageChanged, Key: "app:1"})
		time.Sleep(time.Second)
		if i := w.Image(image1); len(i.RepoTags) != 2 {
			t.Errorf("tags = %v: an older answer has won", i.RepoTags)
		}
		r.Stop()
	})
}

// An image that has several names is asked for by each of them, and the answers may come in any
// order.
func TestOvertakenAnswerThatAnImageIsGoneIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.images[image1] = fakeImage(image1, 5, "app:1")
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Second)
		b.with(func() { b.gone["app:2"] = fakeImage(image1, 4) }) // before it got the name app:1
		b.send(Event{Action: ActionImageChanged, Key: "app:2"})
		time.Sleep(time.Second)
		if w.Image(image1) == nil {
			t.Fatal("an older answer has removed the image")
		}
		b.with(func() {
			delete(b.images, image1)
			b.gone["app:1"] = fakeImage(image1, 7)
		})
		b.send(Event{Action: ActionImageChanged, Key: "app:1"})
		time.Sleep(time.Second)
		if w.Image(image1) != nil {
			t.Fatal("the image is still there")
		}
		// on its way since before
		b.with(func() { b.images["app:3"] = fakeImage(image1, 6, "app:3") })
		b.send(Event{Action: ActionImageChanged, Key: "app:3"})
		time.Sleep(time.Second)
		if i := w.Image(image1); i != nil {
			t.Errorf("an older answer has brought the image back: %v", i.RepoTags)
		}
		b.with(func() { b.images["app:4"] = fakeImage(image1, 8, "app:4") })
		b.send(Event{Action: ActionImageChanged, Key: "app:4"})
		time.Sleep(time.Second)
		if w.Image(image1) == nil {
			t.Error("a newer answer has not brought it back")
		}
		r.Stop()
	})
}

func TestLostEventsAreMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(2 * time.Second)
		b.run("a", "a", image1, nil)
		b.send(Event{Name: "garbage"})
		time.Sleep(2 * time.Second)
		if w.Container("a") == nil {
			t.Error("the start that could not be read was lost")
		}
		r.Stop()
	})
}

// A list that was asked for before the loss cannot make up for it: another one follows it.
func TestALossDuringAListIsMadeUpForByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(20 * time.Second) // past the comparison after connecting
		b.with(func() { b.slowList = 3 * time.Second })
		b.send(Event{Name: "garbage"})
		time.Sleep(time.Second)
		b.run("a", "a", image1, nil)
		b.send(Event{Name: "garbage"})
		time.Sleep(10 * time.Second)
		if w.Container("a") == nil {
			t.Error("the start that was lost during the list is not made up for")
		}
		r.Stop()
	})
}

// Docker notes with a container's end that it was killed for want of memory, which its event tells
// before.
func TestWhatWasKilledForWantOfMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		for _, key := range []string{"killed", "lives-on"} {
			b.run(key, key, image1, nil)
		}
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Second)
		code, zero := int64(137), int64(0)
		b.send(Event{Action: ActionOOM, Key: "killed", At: time.Now()},
			Event{Action: ActionOOM, Key: "lives-on", At: time.Now()})
		time.Sleep(time.Second) // both are inspected meanwhile, and nothing is said of it
		b.send(Event{Action: ActionEnded, Key: "killed", ExitCode: &code, At: time.Now()})
		time.Sleep(time.Hour)
		b.send(Event{Action: ActionEnded, Key: "lives-on", ExitCode: &zero, At: time.Now()})
		time.Sleep(time.Second)
		if !w.Ended("killed").State.OOMKilled || w.Ended("lives-on").State.OOMKilled {
			t.Errorf("killed: %+v; an hour later: %+v", w.Ended("killed").State,
				w.Ended("lives-on").State)
		}
		r.Stop()
	})
}

func TestSandboxesStayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("listed", "listed", image1, func(c *Container) { c.Sandbox = true })
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Second)
		b.run("started", "started", image1, func(c *Container) { c.Sandbox = true })
		b.send(Event{Action: ActionStarted, Key: "started",
			Container: mapping.NewContainer("started", "fake"), Sandbox: true})
		b.run("inspected", "inspected", image1, func(c *Container) { c.Sandbox = true })
		b.send(Event{Action: ActionStarted, Key: "inspected"})
		b.send(Event{Action: ActionEnded, Key: "started"},
			Event{Action: ActionEnded, Key: "inspected"})
		time.Sleep(time.Minute)
		if got := w.News(); got != "" {
			t.Errorf("told %q", got)
		}
		r.Stop()
	})
}
