package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// model is the store as a map of maps: what each reporter says about each entity.
type model map[wm.EntityID]map[string]*said

// said is what a reporter said last of an entity.
type said struct {
	by       *wm.Reporter
	e        wm.Entity
	away     bool
	ended    bool // and that was its last word
	outdated bool // somebody stronger has seen an end since
}

// observes says whose word counts more for what is observed.
func observes(a, b *wm.Reporter) bool {
	order := []wm.Source{runtime, wm.SourceProcess, kubelet, cluster, "custom"}
	x, y := slices.Index(order, a.Source), slices.Index(order, b.Source)
	return x < y || x == y && (a.Rank > b.Rank || a.Rank == b.Rank && a.Name < b.Name)
}

// latest returns the latest start of a process that anybody reports under an ID, 0 if nobody
// knows any.
func (m model) latest(id wm.EntityID) (start uint64) {
	for _, s := range m[id] {
		start = max(start, startOf(s.e))
	}
	return start
}

// startOf returns the start of a process, 0 if that is not known, or of something else.
func startOf(e wm.Entity) uint64 {
	if p, ok := e.(*wm.Process); ok {
		return p.StartTicks
	}
	return 0
}

// aside reports whether this is about another process than the one with the start.
func aside(e wm.Entity, start uint64) bool {
	return startOf(e) != 0 && start != 0 && startOf(e) != start
}

func (m model) set(by *wm.Reporter, e wm.Entity) {
	id := e.GetID()
	if m[id] == nil {
		m[id] = map[string]*said{}
	}
	outdated := m.tellsOfEnded(by, e)
	m[id][by.Name] = &said{by: by, e: e, outdated: outdated}
	m.settle(id)
}

// tellsOfEnded reports whether a reporter that is outdated tells again of the process whose end
// somebody has seen.
func (m model) tellsOfEnded(by *wm.Reporter, e wm.Entity) bool {
	old := m[e.GetID()][by.Name]
	c, ok := e.(*wm.Container)
	if !ok || old == nil || !old.outdated || old.ended || !alive(c) ||
		old.e.(*wm.Container).PID != c.PID {
		return false
	}
	for _, s := range m[c.EntityID] {
		if !s.ended {
			continue
		}
		began, ended := c.State.StartedAt, s.e.(*wm.Container).State.FinishedAt
		if timed := !began.IsZero() && !ended.IsZero(); timed && !began.After(ended) ||
			!timed && c.PID != 0 {
			return true
		}
	}
	return false
}

func (m model) unset(by *wm.Reporter, e wm.Entity) {
	id := e.GetID()
	mine, start := m[id][by.Name], m.latest(id)
	live := func() bool {
		for _, s := range m[id] {
			if !s.away && !s.ended && !aside(s.e, start) {
				return true
			}
		}
		return false
	}
	switch {
	case mine != nil && aside(mine.e, start):
		if !aside(e, startOf(mine.e)) {
			delete(m[id], by.Name)
		}
		return
	case aside(e, start):
		return
	case mine == nil && by.Name != string(by.Source) && !live():
		delete(m, id)
	}
	if mine == nil || mine.ended {
		return
	}
	mine.e = wm.Finalize(mine.e, e)
	c, ok := mine.e.(*wm.Container)
	p, isPod := mine.e.(*wm.KubernetesPod)
	mine.away = false
	if mine.ended = ok && !alive(c) || isPod && p.Phase == "Succeeded"; !mine.ended {
		delete(m[id], by.Name)
	} else {
		for name, s := range m[id] {
			if s == mine || s.ended || !observes(by, s.by) {
				continue
			}
			if s.outdated = true; ok && s.by.Source == wm.SourceProcess {
				delete(m[id], name)
			}
		}
	}
	if !live() {
		delete(m, id)
	}
	if m.latest(id) < start { // nobody knows it any more, and it was not the first
		maps.DeleteFunc(m[id], func(_ string, s *said) bool { return aside(s.e, start) })
	}
	m.settle(id)
}

func (m model) away(by *wm.Reporter) {
	for _, all := range m {
		if s := all[by.Name]; s != nil && !s.ended {
			s.away = true
		}
	}
}

// settle forgets ends that all have looked after.
func (m model) settle(id wm.EntityID) {
	late := false
	for _, s := range m[id] {
		late = late || s.outdated && !s.away && !s.ended
	}
	if !late {
		maps.DeleteFunc(m[id], func(_ string, s *said) bool { return s.ended })
	}
}

func (m model) reset(by *wm.Reporter, entities []wm.Entity) {
	for _, e := range entities {
		m.set(by, e)
	}
	for id, all := range m {
		if s := all[by.Name]; s != nil && !s.ended &&
			!slices.ContainsFunc(entities, func(e wm.Entity) bool { return e.GetID() == id }) {
			m.unset(by, s.e)
		}
	}
}

// merged returns the entities as a subscriber to a source sees them.
func (m model) merged(source wm.Source) map[wm.EntityID]wm.Entity {
	out := map[wm.EntityID]wm.Entity{}
	for id, all := range m {
		var reports []wm.Report
		for _, s := range all {
			if source != wm.SourceAll && (s.by.Source != source || s.ended) ||
				aside(s.e, m.latest(id)) {
				continue
			}
			r := wm.NewReport(s.by, s.e, time.Time{})
			r.Outdated = s.outdated
			if s.away {
				r.State = wm.Away
			} else if s.ended {
				r.State = wm.Done
			}
			reports = append(reports, r)
		}
		slices.SortFunc(reports,
			func(a, b wm.Report) int { return wm.CompareReporters(a.Reporter, b.Reporter) })
		if len(reports) > 0 {
			out[id] = wm.Merge(reports)
		}
	}
	return out
}

// modelReporters are those of the model. Some are code that is no collector.
var modelReporters = []*wm.Reporter{
	{Name: "docker", Source: runtime, Rank: 50}, {Name: "containerd", Source: runtime, Rank: 30},
	wm.NewReporter(runtime), wm.NewReporter(kubelet), wm.NewReporter(cluster),
	{Name: "process", Source: wm.SourceProcess}, wm.NewReporter("custom"),
}

// modelSources are those of the reporters.
var modelSources = []wm.Source{runtime, kubelet, cluster, wm.SourceProcess, "custom"}

func says(by *wm.Reporter, typ wm.EventType, e wm.Entity) wm.CollectorEvent {
	ev := wm.CollectorEvent{Type: typ, Source: by.Source, Entity: e, Reporter: by}
	if by.Name == string(by.Source) {
		ev.Reporter = nil
	}
	return ev
}

func drawEntity(t *rapid.T) wm.Entity {
	pick := func(label string,
		from ...string) string {
		return rapid.SampledFrom(from).Draw(t, label)
	}
	switch pick("kind", "container", "container", "pod", "process") {
	case "container":
		c := container(pick("id", "c0", "c1", "c2"), named(pick("name", "", "n0", "n1")),
			withPID(rapid.IntRange(0, 3).Draw(t, "pid")))
		c.CgroupInode = uint64(rapid.IntRange(0, 2).Draw(t, "inode"))
		if ip := pick("ip", "", "ip0", "ip1"); ip != "" {
			c.NetworkIPs = map[string]string{"net": ip}
		}
		if owner := pick("owner", "", "p0", "p1", "q1"); owner != "" {
			c.Owner = &wm.EntityID{Kind: wm.KindKubernetesPod, ID: owner}
		}
		if pick("status", "running", "running", "stopped") == "stopped" {
			isStopped(c)
		}
		if pick("started", "", "noon") == "noon" {
			c.State.StartedAt = noon
		}
		return c
	case "pod":
		return pod(pick("id", "p0", "p1", "p2"), func(p *wm.KubernetesPod) {
			p.Name, p.Namespace = pick("name", "", "n0", "n1"), pick("namespace", "s0", "s1")
			p.IP, p.HostIP, p.HostNetwork = pick("ip", "", "ip0", "ip1"), pick("host ip", "",
				"ip1"), rapid.Bool().Draw(t, "host network")
			p.Phase = pick("phase", "", "Running", "Succeeded")
			p.UID = pick("uid", "", "q0", "q1", p.ID)
			for _, cid := range rapid.SliceOfN(
				rapid.SampledFrom([]string{"", "c0", "c1", "c2", "c3"}), 0, 3).Draw(
				t, "containers") {
				p.Containers = append(p.Containers, wm.OrchestratorContainer{ID: cid, Name: cid})
			}
		})
	}
	pid := rapid.IntRange(1, 3).Draw(t, "pid")
	p := process(int32(pid), uint64(rapid.IntRange(0, 2).Draw(t, "ticks")),
		pick("container", "", "c0", "c1"))
	if created := pick("created", "", "noon", "later"); created != "" {
		p.CreationTime = map[string]time.Time{"noon": noon.Add(time.Second),
			"later": noon.Add(time.Hour)}[created]
	}
	return p
}

var noon = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)

// answers writes down what all look-ups answer, errors by their kind.
func answers(c interface {
	byName(string) []string
	byPID(int) []string
	byInode(uint64) []string
	byIP(string) []string
	podByName(ns, name string) []string
	podByUID(string) []string
	podOf(string) []string
	processesOf(string) []string
}) string {
	var b strings.Builder
	for i := range 4 {
		n := strconv.Itoa(i)
		fmt.Fprintln(&b, n, c.byName("n"+n), c.byPID(i), c.byInode(uint64(i)), c.byIP("ip"+n),
			c.podByName("s0", "n"+n), c.podByName("s1", "n"+n),
			c.podByUID("p"+n), c.podByUID("q"+n), c.podOf("c"+n), c.processesOf("c"+n))
	}
	return b.String()
}

// indexed answers by the store's look-ups.
type indexed struct{ *store.Store }

func answer[T wm.Entity](e T, err error) []string {
	switch {
	case err == nil:
		return []string{e.GetID().ID}
	case strings.Contains(err.Error(), wm.ErrAmbiguous.Error()):
		return []string{"ambiguous"}
	}
	return nil
}

func (s indexed) byName(n string) []string        { return answer(s.GetContainerByName(n)) }
func (s indexed) byPID(pid int) []string          { return answer(s.ContainerForPID(pid)) }
func (s indexed) byInode(inode uint64) []string   { return answer(s.ContainerForInode(inode)) }
func (s indexed) byIP(ip string) []string         { return answer(s.EntityForIP(ip)) }
func (s indexed) podByName(ns, n string) []string { return answer(s.GetKubernetesPodByName(ns, n)) }
func (s indexed) podByUID(uid string) []string    { return answer(s.GetKubernetesPod(uid)) }
func (s indexed) podOf(cid string) []string {
	return answer(s.GetKubernetesPodForContainer(cid))
}
func (s indexed) processesOf(cid string) []string { return collect(s.ProcessesOf(cid)) }

// scanned answers the same questions by looking at everything.
type scanned map[wm.EntityID]wm.Entity

func scan[T wm.Entity](s scanned, match func(T) bool) []string {
	var found []string
	for _, e := range s {
		if e, ok := e.(T); ok && match(e) {
			found = append(found, e.GetID().ID)
		}
	}
	slices.Sort(found)
	return found
}

func only(found []string) []string {
	if len(found) > 1 {
		return []string{"ambiguous"}
	}
	return found
}

func alive(c *wm.Container) bool { return c.State.Status != wm.StatusStopped }

func (s scanned) byName(n string) []string {
	return only(scan(s, func(c *wm.Container) bool { return n != "" && c.Name == n }))
}

func (s scanned) byPID(pid int) []string {
	found := scan(s, func(c *wm.Container) bool { return pid != 0 && c.PID == pid && alive(c) })
	p, ok := s[id(wm.KindProcess, strconv.Itoa(pid))].(*wm.Process)
	if !ok {
		return only(found)
	}
	found = slices.DeleteFunc(found, s.replaced)
	_, inside := s[id(wm.KindContainer, p.ContainerID)]
	switch {
	case p.ContainerID == "" || slices.Equal(found, []string{p.ContainerID}):
		return only(found)
	case len(found) == 0 && inside:
		return []string{p.ContainerID}
	case len(found) == 0:
		return nil
	}
	return []string{"ambiguous"}
}

func (s scanned) byInode(inode uint64) []string {
	found := scan(s, func(c *wm.Container) bool {
		return inode != 0 && c.CgroupInode == inode && alive(c)
	})
	return only(slices.DeleteFunc(found, s.replaced))
}

// replaced reports whether a container's PID is that of a process that is not its first: one that
// began later.
func (s scanned) replaced(cid string) bool {
	c := s[id(wm.KindContainer, cid)].(*wm.Container)
	p, ok := s[id(wm.KindProcess, strconv.Itoa(c.PID))].(*wm.Process)
	switch {
	case !ok || cid == p.ContainerID:
		return false
	case c.State.StartedAt.IsZero() || p.CreationTime.IsZero():
		return p.ContainerID == ""
	}
	return p.CreationTime.Sub(c.State.StartedAt) > time.Minute
}

func (s scanned) hostNetwork(uid string) bool {
	p, ok := s[id(wm.KindKubernetesPod, uid)].(*wm.KubernetesPod)
	return ok && (p.HostNetwork || p.IP != "" && p.IP == p.HostIP)
}

func (s scanned) byIP(ip string) []string {
	if pods := scan(s, func(p *wm.KubernetesPod) bool {
		return p.IP == ip && p.Phase != "Succeeded" && !s.hostNetwork(p.ID)
	}); len(pods) > 0 {
		return only(pods)
	}
	return only(scan(s, func(c *wm.Container) bool {
		pod := s.podOf(c.ID)
		return c.NetworkIPs["net"] == ip && alive(c) && (len(pod) == 0 || !s.hostNetwork(pod[0]))
	}))
}

func (s scanned) podByName(ns, n string) []string {
	return only(scan(s, func(p *wm.KubernetesPod) bool { return p.Name == n && p.Namespace == ns }))
}

func (s scanned) podByUID(uid string) []string {
	if _, ok := s[id(wm.KindKubernetesPod, uid)]; ok {
		return []string{uid}
	}
	return only(scan(s, func(p *wm.KubernetesPod) bool { return p.UID == uid }))
}

func (s scanned) podOf(cid string) []string {
	if c, ok := s[id(wm.KindContainer, cid)].(*wm.Container); ok && c.Owner != nil {
		if found := s.podByUID(c.Owner.ID); len(found) == 1 && found[0] != "ambiguous" {
			return found
		}
	}
	return only(scan(s, func(p *wm.KubernetesPod) bool {
		return slices.ContainsFunc(p.Containers,
			func(c wm.OrchestratorContainer) bool { return c.ID == cid })
	}))
}

func (s scanned) processesOf(cid string) []string {
	return scan(s, func(p *wm.Process) bool { return p.ContainerID == cid })
}

// follower is a subscriber that keeps the entities it was told of.
type follower struct {
	source wm.Source
	keep   func(wm.Entity) bool
	sub    wm.Subscription
	view   map[wm.EntityID]wm.Entity
	bad    []string
}

// last is the entity that ends a follower's work, when it is unset.
var last = &wm.Host{EntityID: id(wm.KindHost, wm.HostID)}

func follow(s *store.Store, source wm.Source, keep func(wm.Entity) bool) *follower {
	filter := wm.NewFilter().Source(source).Kind(wm.KindHost)
	for _, kind := range []wm.Kind{wm.KindContainer, wm.KindKubernetesPod, wm.KindProcess} {
		filter.Kind(kind, keep)
	}
	return &follower{source: source, keep: keep, sub: s.Subscribe("model", filter),
		view: map[wm.EntityID]wm.Entity{}}
}

func (f *follower) run(t *testing.T) {
	defer f.sub.Close()
	for b := range f.sub.Bundles(t.Context()) {
		for _, ev := range b.Events {
			eid := ev.Entity.GetID()
			_, knew := f.view[eid]
			switch {
			case ev.Type == wm.EventTypeSet:
				f.view[eid] = ev.Entity
			case eid == last.EntityID:
				return
			default:
				delete(f.view, eid)
			}
			if b.Snapshot && (knew || ev.Type != wm.EventTypeSet) {
				f.bad = append(f.bad,
					fmt.Sprintf("%s of %s in the snapshot, known: %v", ev.Type, eid, knew))
			}
		}
	}
}

// check compares what was followed with the model.
func (f *follower) check(t interface{ Fatalf(string, ...any) }, m model) {
	delete(f.view, last.EntityID)
	want := m.merged(f.source)
	maps.DeleteFunc(want, func(_ wm.EntityID, e wm.Entity) bool { return !f.keep(e) })
	if !maps.EqualFunc(f.view, want, wm.Entity.Equal) || len(f.bad) > 0 {
		t.Fatalf("a subscriber to %q ends with %v\nwant %v\n%q", f.source,
			slices.Collect(maps.Keys(f.view)), slices.Collect(maps.Keys(want)), f.bad)
	}
}

func end(t testing.TB, s *store.Store, sources []wm.Source) {
	for _, source := range sources {
		notify(t, s, sets(source, last))
	}
	for _, source := range sources {
		notify(t, s, unsets(source, last))
	}
}

func everything(wm.Entity) bool { return true }

func hasName(e wm.Entity) bool {
	c, ok := e.(*wm.Container)
	return ok && c.Name == "n1"
}

// Random reports of several reporters, against a map of maps: the same entities, the same
// reports, the same answers to all look-ups as from looking at everything, and
// subscribers that end where the store ends.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := store.New(store.Options{OnMutation: failOnMutation(t)})
		defer s.Close()
		m := model{}
		var followers []*follower
		var work sync.WaitGroup
		subscribe := func() {
			f := follow(s,
				rapid.SampledFrom(append(modelSources, wm.SourceAll)).Draw(rt,
					"view of"), everything)
			if rapid.Bool().Draw(rt, "some only") {
				f.sub.Close()
				f = follow(s, f.source, hasName)
			}
			followers = append(followers, f)
			work.Go(func() { f.run(t) })
		}
		rt.Repeat(map[string]func(*rapid.T){
			"notify": func(rt *rapid.T) {
				var events []wm.CollectorEvent
				for range rapid.IntRange(1, 5).Draw(rt, "events") {
					by, e := rapid.SampledFrom(modelReporters).Draw(rt, "by"), drawEntity(rt)
					switch rapid.IntRange(0, 3).Draw(rt, "what") {
					case 0:
						events = append(events, says(by, wm.EventTypeUnset, e))
						m.unset(by, e)
					case 1:
						e, _ = wm.NewEntity(e.GetID())
						events = append(events, says(by, wm.EventTypeUnset, e))
						m.unset(by, e)
					default:
						events = append(events, says(by, wm.EventTypeSet, e))
						m.set(by, e)
					}
				}
				notify(t, s, events...)
			},
			"away": func(rt *rapid.T) {
				by := rapid.SampledFrom(modelReporters).Draw(rt, "by")
				var ids []wm.EntityID
				for id := range m {
					ids = append(ids, id)
				}
				s.Away(by, ids)
				m.away(by)
			},
			"reset": func(rt *rapid.T) {
				source := rapid.SampledFrom(modelSources).Draw(rt, "source")
				var entities []wm.Entity
				for range rapid.IntRange(0, 3).Draw(rt, "entities") {
					entities = append(entities, drawEntity(rt))
				}
				if err := s.Reset(source, entities); err != nil {
					rt.Fatal(err)
				}
				m.reset(wm.NewReporter(source), entities)
			},
			"subscribe": func(rt *rapid.T) {
				if len(followers) < 5 {
					subscribe()
				}
			},
			"": func(rt *rapid.T) {
				want := m.merged(wm.SourceAll)
				got := map[wm.EntityID]wm.Entity{}
				for _, d := range s.Dump() {
					got[d.Entity.GetID()] = d.Entity
					n := 0
					for _, s := range m[d.Entity.GetID()] {
						if !aside(s.e, m.latest(d.Entity.GetID())) {
							n++
						}
					}
					if len(d.Reports) != n {
						rt.Fatalf("%s: %d reports, want %d", d.Entity.GetID(), len(d.Reports), n)
					}
				}
				if !maps.EqualFunc(got, want, wm.Entity.Equal) {
					rt.Fatalf("the store holds %v\nwant %v", got, want)
				}
				if got, want := answers(indexed{s}), answers(scanned(want)); got != want {
					rt.Fatalf("look-ups answer\n%s\na scan answers\n%s", got, want)
				}
			},
		})
		end(t, s, modelSources)
		work.Wait()
		for _, f := range followers {
			f.check(rt, m)
		}
	})
}

// Each source has a goroutine of its own; subscribers and readers race with them.
func TestRacingSources(t *testing.T) {
	s := store.New(store.Options{OnMutation: failOnMutation(t)})
	defer s.Close()
	var producers, consumers sync.WaitGroup
	stop := make(chan struct{})
	consumers.Go(func() { // reads while all change
		for {
			select {
			case <-stop:
				return
			default:
				for e := range s.List(wm.KindContainer) {
					c := e.(*wm.Container)
					if pod, err := s.GetKubernetesPodForContainer(c.ID); err == nil && pod == nil {
						t.Error("no pod and no error")
					}
					_, _ = s.ContainerForPID(c.PID)
					_, _ = s.ContainerForInode(c.CgroupInode)
					_, _ = s.GetContainerByName(c.Name)
				}
			}
		}
	})
	var followers []*follower
	for _, source := range append(slices.Clone(modelSources), wm.SourceAll) {
		for _, keep := range []func(wm.Entity) bool{everything, hasName} {
			f := follow(s, source, keep)
			followers = append(followers, f)
			consumers.Go(func() { f.run(t) })
		}
	}
	told := make([]map[wm.EntityID]wm.Entity, len(modelSources))
	for i, source := range modelSources {
		told[i] = map[wm.EntityID]wm.Entity{}
		producers.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range 2000 {
				n := rng.IntN(40)
				var e wm.Entity = container("c"+strconv.Itoa(n),
					named("n"+strconv.Itoa(rng.IntN(3))), withPID(rng.IntN(50)),
					withInode(uint64(rng.IntN(50))))
				if n%4 == 0 {
					e = pod("p"+strconv.Itoa(n), func(p *wm.KubernetesPod) {
						p.Containers = []wm.OrchestratorContainer{
							{ID: "c" + strconv.Itoa(rng.IntN(40))}}
					})
				}
				if rng.IntN(3) == 0 {
					notify(t, s, unsets(source, e))
					delete(told[i], e.GetID())
				} else {
					notify(t, s, sets(source, e))
					told[i][e.GetID()] = e
				}
			}
		})
	}
	producers.Wait()
	close(stop)
	end(t, s, modelSources)
	consumers.Wait()
	m := model{}
	for i, source := range modelSources {
		for _, e := range told[i] {
			m.set(wm.NewReporter(source), e)
		}
	}
	for _, f := range followers {
		f.check(t, m)
	}
}
