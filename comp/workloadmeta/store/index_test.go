package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func collect[T wm.Entity](seq iter.Seq[T]) []string {
	var ids []string
	for e := range seq {
		ids = append(ids, e.GetID().ID)
	}
	slices.Sort(ids)
	return ids
}

// wants checks a look-up: want is the ID that is expected, or the error.
func wants[T wm.Entity](t *testing.T, what string, got T, err error, want any) {
	t.Helper()
	switch want := want.(type) {
	case string:
		if err != nil || got.GetID().ID != want {
			t.Errorf("%s: %v, %v; want %s", what, got, err, want)
		}
	case error:
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
}

func newStore(t *testing.T, events ...wm.CollectorEvent) *store.Store {
	s := store.New(store.Options{OnMutation: failOnMutation(t)})
	t.Cleanup(s.Close)
	notify(t, s, events...)
	return s
}

func withIP(ip string) func(*wm.Container) {
	return func(c *wm.Container) { c.NetworkIPs = map[string]string{"bridge": ip} }
}

func isStopped(c *wm.Container) { c.State.Status = wm.StatusStopped }

func TestNamesThatSeveralHaveAreAmbiguous(t *testing.T) {
	s := newStore(t, sets(runtime, container("a", named("web"))),
		sets(runtime, container("b", named("web"))))
	c, err := s.GetContainerByName("web")
	wants(t, "two", c, err, wm.ErrAmbiguous)
	notify(t, s, unsets(runtime, container("a")))
	c, err = s.GetContainerByName("web")
	wants(t, "the first is gone", c, err, "b")
	notify(t, s, sets(runtime, container("b", named("db"))))
	c, err = s.GetContainerByName("web")
	wants(t, "renamed", c, err, wm.ErrNotFound)
	c, err = s.GetContainerByName("db")
	wants(t, "new name", c, err, "b")
	c, err = s.GetContainerByName("")
	wants(t, "no name", c, err, wm.ErrNotFound)
}

func TestRemovingOneNeverRemovesAnothersEntry(t *testing.T) {
	// The PID and the address go to the new container before the end of the old one is
	// heard of.
	s := newStore(t, sets(runtime, container("old", withPID(7), withIP("10.0.0.1"))))
	notify(t, s, sets(runtime, container("new", withPID(7), withIP("10.0.0.1"))))
	c, err := s.ContainerForPID(7)
	wants(t, "PID of two", c, err, wm.ErrAmbiguous)
	e, err := s.EntityForIP("10.0.0.1")
	wants(t, "address of two", e, err, wm.ErrAmbiguous)
	notify(t, s, unsets(runtime, container("old")))
	c, err = s.ContainerForPID(7)
	wants(t, "PID", c, err, "new")
	e, err = s.EntityForIP("10.0.0.1")
	wants(t, "address", e, err, "new")
}

func TestStoppedContainerHasNoPIDAndNoAddress(t *testing.T) {
	s := newStore(t, sets(runtime, container("c", withPID(7), withIP("10.0.0.1"))))
	notify(t, s, sets(runtime, container("c", withPID(7), withIP("10.0.0.1"), isStopped)))
	c, err := s.ContainerForPID(7)
	wants(t, "PID", c, err, wm.ErrNotFound)
	e, err := s.EntityForIP("10.0.0.1")
	wants(t, "address", e, err, wm.ErrNotFound)
	notify(t, s, sets(runtime, container("c", withPID(8), withIP("10.0.0.1"))))
	c, err = s.ContainerForPID(8)
	wants(t, "PID after the restart", c, err, "c")
	e, err = s.EntityForIP("10.0.0.1")
	wants(t, "address after the restart", e, err, "c")
}

func TestContainerForPID(t *testing.T) {
	s := newStore(t, sets(runtime, container("c", withPID(7))),
		sets(wm.SourceProcess, process(8, 1, "c")),
		sets(wm.SourceProcess, process(9, 1, "unheard-of")), sets(wm.SourceProcess,
			process(10, 1, "")))
	for pid, want := range map[int]any{
		7: "c", 8: "c", 9: wm.ErrNotFound, 10: wm.ErrNotFound, 11: wm.ErrNotFound,
		0: wm.ErrNotFound, -1: wm.ErrNotFound,
		math.MaxInt32 + 9: wm.ErrNotFound,
	} {
		c, err := s.ContainerForPID(pid)
		wants(t, "PID", c, err, want)
	}
	// The runtime has not noticed yet that PID 7 was reused by a process of another container.
	notify(t, s, sets(runtime, container("d")), sets(wm.SourceProcess, process(7, 2, "d")))
	c, err := s.ContainerForPID(7)
	wants(t, "PID seen elsewhere", c, err, wm.ErrAmbiguous)
	if got := collect(s.ProcessesOf("d")); !slices.Equal(got, []string{"7"}) {
		t.Errorf("ProcessesOf(d) = %v", got)
	}
	notify(t, s, unsets(wm.SourceProcess, process(7, 2, "d")))
	if got := collect(s.ProcessesOf("d")); len(got) != 0 {
		t.Errorf("ProcessesOf(d) = %v after the end", got)
	}
	if p, err := s.GetProcess(8); err != nil || p.ContainerID != "c" {
		t.Errorf("GetProcess(8) = %v, %v", p, err)
	}
}

func TestReusedPIDIsNotTheContainers(t *testing.T) {
	started := func(at time.Time) func(*wm.Container) {
		return func(c *wm.Container) { c.State.StartedAt = at }
	}
	began := func(p *wm.Process, at time.Time) *wm.Process {
		p.CreationTime = at
		return p
	}
	// The runtime still says that PID 7 is c's: it has gone away, or has not noticed yet.
	s := newStore(t, sets(runtime, container("c", withPID(7), started(noon))),
		sets(runtime, container("d")))
	for _, step := range []struct {
		what string
		p    *wm.Process
		want any
	}{
		{"the first process", began(process(7, 1, ""), noon.Add(-time.Second)), "c"},
		{"one of the host, an hour later", began(process(7, 2, ""), noon.Add(time.Hour)),
			wm.ErrNotFound},
		{"one of the host, when is not known", process(7, 3, ""), wm.ErrNotFound},
		{"one of another container, an hour later", began(process(7, 4, "d"),
			noon.Add(time.Hour)), "d"},
		{"seen in another, as old as c", began(process(7, 5, "d"), noon), wm.ErrAmbiguous},
	} {
		notify(t, s, sets(wm.SourceProcess, step.p))
		c, err := s.ContainerForPID(7)
		wants(t, step.what, c, err, step.want)
	}
}

func TestContainerForInode(t *testing.T) {
	started := func(at time.Time) func(*wm.Container) {
		return func(c *wm.Container) { c.State.StartedAt = at }
	}
	s := newStore(t,
		sets(runtime, container("old", withPID(7), withInode(3<<32|70), started(noon))),
		sets(runtime, container("bare")))
	asks := func(what string, inode uint64, want any) {
		t.Helper()
		c, err := s.ContainerForInode(inode)
		wants(t, what, c, err, want)
	}
	asks("the only one", 3<<32|70, "old")
	asks("half of it", 70, wm.ErrNotFound)
	asks("none", 0, wm.ErrNotFound)

	// The kernel has given the inode to another before the end of the first is heard of.
	notify(t, s, sets(runtime,
		container("new", withPID(8), withInode(3<<32|70), started(noon.Add(time.Hour)))))
	asks("inode of two", 3<<32|70, wm.ErrAmbiguous)
	later := process(7, 1, "")
	later.CreationTime = noon.Add(time.Hour)
	notify(t, s, sets(wm.SourceProcess, later))
	asks("the first's PID is another's by now", 3<<32|70, "new")
	notify(t, s, unsets(wm.SourceProcess, later))
	asks("inode of two again", 3<<32|70, wm.ErrAmbiguous)
	notify(t, s, unsets(runtime, container("old")))
	asks("the first has gone", 3<<32|70, "new")

	notify(t, s, sets(runtime, container("new", withPID(8), withInode(3<<32|70), isStopped)))
	asks("stopped", 3<<32|70, wm.ErrNotFound)
	notify(t, s, sets(runtime, container("new", withPID(9), withInode(71))))
	asks("the run before", 3<<32|70, wm.ErrNotFound)
	asks("the next run", 71, "new")
}

// Sidecars have one name all over a cluster. What one more costs must not depend on how many
// there are.
func TestNameThatManyShare(t *testing.T) {
	s := store.New(store.Options{})
	t.Cleanup(s.Close)
	cid := func(i int) string { return strconv.Itoa(i) }
	const n = 20_000
	for i := range n {
		notify(t, s, sets(runtime, container(cid(i), named("istio-proxy"))))
	}
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	for i := range 100 {
		notify(t, s, sets(runtime, container(cid(n+i), named("istio-proxy"))))
	}
	goruntime.ReadMemStats(&after)
	if bytes := (after.TotalAlloc - before.TotalAlloc) / 100; bytes > 10_000 {
		t.Errorf("one container more of %d with this name allocates %d bytes", n, bytes)
	}
	_, err := s.GetContainerByName("istio-proxy")
	if !errors.Is(err, wm.ErrAmbiguous) || len(err.Error()) > 200 {
		t.Errorf("name of many: %.300v", err)
	}
	for i := range n + 99 {
		notify(t, s, unsets(runtime, container(cid(i))))
	}
	c, err := s.GetContainerByName("istio-proxy")
	wants(t, "the last", c, err, cid(n+99))
	notify(t, s, unsets(runtime, container(cid(n+99))))
	c, err = s.GetContainerByName("istio-proxy")
	wants(t, "nobody", c, err, wm.ErrNotFound)
}

func TestFilterOnATypeThatThereIsNot(t *testing.T) {
	for _, typ := range []wm.EventType{0, 3, 8} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Events(%d) did not panic", typ)
				}
			}()
			wm.NewFilter().Events(typ)
		}()
	}
}

func TestAddressesOfTheHostAreNobodys(t *testing.T) {
	of := func(uid string) func(*wm.Container) {
		return func(c *wm.Container) { c.Owner = &wm.EntityID{Kind: wm.KindKubernetesPod, ID: uid} }
	}
	at := func(ip string, edits ...func(*wm.KubernetesPod)) func(*wm.KubernetesPod) {
		return func(p *wm.KubernetesPod) {
			p.IP, p.HostIP = ip, "192.0.2.1"
			for _, edit := range edits {
				edit(p)
			}
		}
	}
	s := newStore(t,
		sets(kubelet,
			pod("hostnet", at("192.0.2.1", func(p *wm.KubernetesPod) { p.HostNetwork = true }))),
		sets(kubelet, pod("silent", at("192.0.2.1"))), // on the host's network, and nobody says so
		sets(runtime, container("proxy", withIP("192.0.2.1"), of("hostnet"))),
		sets(kubelet,
			pod("done", at("10.0.0.1", func(p *wm.KubernetesPod) { p.Phase = "Succeeded" }))),
		sets(kubelet,
			pod("web", at("10.0.0.1", func(p *wm.KubernetesPod) { p.Phase = "Running" }))),
		sets(runtime, container("web-1", withIP("10.0.0.1"), of("web"))),
		sets(runtime, container("plain", withIP("172.17.0.2"), func(c *wm.Container) {
			c.NetworkIPv6s = map[string]string{"bridge": "fd00::2"}
		})),
	)
	for ip, want := range map[string]any{
		"192.0.2.1": wm.ErrNotFound, "10.0.0.1": "web", "172.17.0.2": "plain", "fd00::2": "plain",
		"": wm.ErrNotFound,
	} {
		e, err := s.EntityForIP(ip)
		wants(t, "address "+ip, e, err, want)
	}
	// A collector that mends in which of the two maps an address belongs loses no entry.
	notify(t, s, sets(runtime, container("plain", func(c *wm.Container) {
		c.NetworkIPs = map[string]string{"bridge": "fd00::2"}
	})))
	e, err := s.EntityForIP("fd00::2")
	wants(t, "moved between the maps", e, err, "plain")
}

func TestPodsByNameAndByContainer(t *testing.T) {
	named := func(ns, name string) func(*wm.KubernetesPod) {
		return func(p *wm.KubernetesPod) { p.Namespace, p.Name = ns, name }
	}
	lists := func(ids ...string) func(*wm.KubernetesPod) {
		return func(p *wm.KubernetesPod) {
			p.InitContainers = []wm.OrchestratorContainer{{ID: ids[0]}}
			p.EphemeralContainers = []wm.OrchestratorContainer{{Name: "pending"}}
			for _, id := range ids[1:] {
				p.Containers = append(p.Containers, wm.OrchestratorContainer{ID: id})
			}
		}
	}
	s := newStore(t, sets(kubelet, pod("u1", named("shop", "db-0"), lists("i", "c"))),
		sets(kubelet, pod("u2", named("blog", "db-0"))))
	for _, c := range []struct {
		ns, name string
		want     any
	}{{"shop", "db-0", "u1"}, {"blog", "db-0", "u2"}, {"shop", "db-1", wm.ErrNotFound}, {"", "db-0",
		wm.ErrNotFound}} {
		p, err := s.GetKubernetesPodByName(c.ns, c.name)
		wants(t, c.ns+"/"+c.name, p, err, c.want)
	}
	// A stateful set's pod is replaced under the same name.
	notify(t, s, sets(kubelet, pod("u3", named("shop", "db-0"))))
	p, err := s.GetKubernetesPodByName("shop", "db-0")
	wants(t, "old and new", p, err, wm.ErrAmbiguous)
	notify(t, s, unsets(kubelet, pod("u1")))
	p, err = s.GetKubernetesPodByName("shop", "db-0")
	wants(t, "new", p, err, "u3")

	notify(t, s, sets(kubelet, pod("u1", lists("i", "c"))),
		sets(runtime, container("c")),
		sets(kubelet,
			container("owned", func(c *wm.Container) {
				c.Owner = &wm.EntityID{Kind: wm.KindKubernetesPod, ID: "u2"}
			})),
		sets(kubelet,
			container("task", func(c *wm.Container) {
				c.Owner = &wm.EntityID{Kind: wm.KindECSTask, ID: "arn"}
			})),
	)
	for cid, want := range map[string]any{"c": "u1", "i": "u1", "owned": "u2",
		"task": wm.ErrNotFound, "x": wm.ErrNotFound, "": wm.ErrNotFound} {
		p, err := s.GetKubernetesPodForContainer(cid)
		wants(t, "pod of container "+cid, p, err, want)
	}
	notify(t, s, sets(kubelet, pod("u1", lists("i"))))
	p, err = s.GetKubernetesPodForContainer("c")
	wants(t, "no longer listed", p, err, wm.ErrNotFound)
}

func TestStaticPodsAnswerToBothUIDs(t *testing.T) {
	says := func(p *wm.KubernetesPod) { // whoever makes a pod may write that of another
		p.Annotations = map[string]string{"kubernetes.io/config.mirror": "api-uid",
			"kubernetes.io/config.hash": "unknown"}
	}
	s := newStore(t, sets(kubelet, pod("hash", func(p *wm.KubernetesPod) { p.UID = "mirror-uid" })),
		sets(cluster, pod("evil", says)),
		sets(kubelet, pod("hash3", func(p *wm.KubernetesPod) { p.APIUID = "api-uid" })))
	for uid, want := range map[string]any{"hash3": "hash3", "api-uid": "hash3", "hash": "hash",
		"mirror-uid": "hash", "unknown": wm.ErrNotFound, "other": wm.ErrNotFound} {
		p, err := s.GetKubernetesPod(uid)
		wants(t, uid, p, err, want)
	}
	notify(t, s, unsets(kubelet, pod("hash")))
	p, err := s.GetKubernetesPod("mirror-uid")
	wants(t, "gone", p, err, wm.ErrNotFound)
}

func TestContainerByPrefix(t *testing.T) {
	s := newStore(t, sets(runtime, container("abcdef01")), sets(runtime, container("abcd9999")),
		sets(runtime, container("task-1")), sets(runtime, container("task-10")))
	for prefix, want := range map[string]any{
		"abcde": "abcdef01", "abcd": wm.ErrAmbiguous, "abc": wm.ErrNotFound, "": wm.ErrNotFound,
		"ffff":   wm.ErrNotFound,
		"task-1": "task-1", "task-10": "task-10", "task": wm.ErrAmbiguous,
	} {
		c, err := s.GetContainerByPrefix(prefix)
		wants(t, "prefix "+prefix, c, err, want)
	}
}

func TestTypedLookups(t *testing.T) {
	s := newStore(t,
		sets(runtime, &wm.ContainerImageMetadata{EntityID: id(wm.KindContainerImage, "sha256:0a")}),
		sets(kubelet, &wm.ECSTask{EntityID: id(wm.KindECSTask, "arn")}),
		sets(kubelet, pod("p")), sets(runtime, container("a")), sets(runtime, container("b")),
		sets(wm.SourceProcess, process(1, 1, "")))
	image, err := s.GetContainerImage("sha256:0a")
	wants(t, "image", image, err, "sha256:0a")
	task, err := s.GetECSTask("arn")
	wants(t, "task", task, err, "arn")
	_, err = s.Reports(id(wm.KindGPU, "x"))
	wants(t, "reports of nothing", task, err, wm.ErrNotFound)
	if got := collect(s.Containers()); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Containers = %v", got)
	}
	for range s.Containers() {
		break // leaving early is fine
	}
	if got := append(collect(s.KubernetesPods()), collect(s.Processes())...); !slices.Equal(got,
		[]string{"p", "1"}) {
		t.Errorf("pods and processes = %v", got)
	}
}

func TestCountIsByKindAndSource(t *testing.T) {
	s := newStore(t, sets(runtime, container("a")), sets(runtime, container("b")),
		sets(kubelet, container("b")), sets(kubelet, pod("p")))
	got := s.Count()
	if len(got) != 2 || got[wm.KindContainer][runtime] != 2 ||
		got[wm.KindContainer][kubelet] != 1 || got[wm.KindKubernetesPod][kubelet] != 1 {
		t.Errorf("Count = %v", got)
	}
}

// The error names a few of those that have the name, and how many more there are.
func TestAmbiguityNamesAFew(t *testing.T) {
	s := newStore(t)
	for n := 1; n <= 6; n++ {
		notify(t, s, sets(runtime, container(fmt.Sprint("id", n), named("web"))))
		_, err := s.GetContainerByName("web")
		if n == 1 {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		more := ""
		if n > 4 {
			more = fmt.Sprintf(" and %d more", n-4)
		}
		_, claims, _ := strings.Cut(err.Error(), "ambiguous: ")
		names, found := strings.CutSuffix(claims, more)
		if !found || strings.Contains(names, "more") ||
			len(strings.Split(names, ", ")) != min(n, 4) {
			t.Errorf("with %d: %v", n, err)
		}
	}
}

func TestKindsThatThereAreNot(t *testing.T) {
	s := newStore(t)
	for _, kind := range []wm.Kind{0, wm.Kind(wm.NumKinds), 255} {
		if _, err := s.Get(id(kind, "x")); !errors.Is(err, wm.ErrNotFound) {
			t.Errorf("Get of kind %d: %v", kind, err)
		}
	}
}
