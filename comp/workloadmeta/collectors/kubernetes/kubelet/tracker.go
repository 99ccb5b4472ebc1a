package kubelet

import (
	"maps"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
)

// How long things are waited for.
const (
	// graceOfRestart is for how long after an outage, or a list that has lost most pods, absence
	// says nothing: a kubelet that starts shows no pods, then static pods only.
	graceOfRestart = 30 * time.Second
	// absentFor is how long a pod that nobody deletes has to be missing: in two lists at least.
	absentFor = 10 * time.Second
	// keptFinished is for how long finished pods, and instances of containers that others have
	// replaced, stay: a node may have thousands.
	keptFinished = 15 * time.Minute
)

// tracker knows the pods of one node, and decides what a list, an event or the lack of both means.
// It does no I/O and has no clock.
//
// There is one record per pod. A list and the kubelet's events are two views of one thing: of what
// both say the newer counts. A list is as old as the call for it, because a pod may have changed
// while the answer was on its way.
//
// That a pod is missing says little by itself. The kubelet drops one that is deleted by force from
// its lists while its containers still run, and one that has just started has no pods at all. See
// [tracker.absent].
type tracker struct {
	mapper *podmap.Mapper
	pods   map[string]*tracked // by UID
	byHash map[uint64]*tracked // by what a list said of them

	noEvidenceBefore time.Time // from when on absence counts again
	holdReadyUntil   time.Time
	undecodable      int   // pods in the last list
	nameless         bool  // of some of them nobody knows which they are
	problem          error // of the last of them
	out              []workloadmeta.CollectorEvent
}

// tracked is one pod.
type tracked struct {
	podmap.Mapped
	held  *podmap.Mapped // what is really said, while readiness is held
	hash  uint64         // of the item of the last list that had news of it
	at    time.Time      // of when the newest word of it is
	first time.Time      // when it was seen first
	// ended says that the kubelet is done with it. It stays while lists have it.
	ended   bool
	dropped bool // finished for so long that it is not reported any more
	listed  bool // in the last list
	// missingSince is when the first of the lists in a row that lack it was asked for.
	missingSince time.Time
	// goneSince is when the API server had it no more, as long as it may come back.
	goneSince time.Time
	// retired are former instances of its containers.
	retired map[string]retired
}

type retired struct {
	container *workloadmeta.Container
	since     time.Time
}

func newTracker(mapper *podmap.Mapper) *tracker {
	return &tracker{mapper: mapper, pods: map[string]*tracked{}, byHash: map[uint64]*tracked{}}
}

// item is a pod in a list.
type item struct {
	hash uint64      // of its bytes
	pod  *object.Pod // nil if the hash was known when the list was asked for, or with err
	err  error       // why it could not be decoded
	uid  string      // with err, if that can be read
}

// listing is what a list says.
type listing struct {
	began time.Time // the call
	items []item
	// watched says that events are heard beside it, from a watch that has told everything there is.
	watched bool
}

// list takes a list and returns what changes.
func (t *tracker) list(now time.Time, l listing) []workloadmeta.CollectorEvent {
	seen := make(map[*tracked]bool, len(l.items))
	t.undecodable, t.nameless, t.problem = 0, false, nil
	static := true
	for _, i := range l.items {
		pod, ok := t.byHash[i.hash]
		if !ok && i.pod == nil && i.err == nil {
			continue // an event has told of it since the call, and that counts
		}
		if !ok {
			if pod = t.listed(now, l, i); pod == nil {
				continue
			}
		}
		seen[pod] = true
		pod.missingSince = time.Time{}
		static = static && podmap.Static(pod.Pod)
	}
	t.suspectRestart(now, l, seen, static)
	for _, uid := range slices.Sorted(maps.Keys(t.pods)) {
		if pod := t.pods[uid]; !seen[pod] && t.absent(now, l, pod) {
			t.finish(now, pod)
		}
	}
	return t.flush()
}

// listed takes one item of a list that has not been seen as it is now; nil if it is no pod, or one
// that cannot be decoded and was not known before.
func (t *tracker) listed(now time.Time, l listing, i item) *tracked {
	var mapped podmap.Mapped
	err := i.err
	if err == nil {
		if mapped, err = t.mapper.Map(i.pod); err != nil {
			i.uid = i.pod.Meta.UID
		}
	}
	if err != nil {
		t.undecodable++
		t.nameless = t.nameless || i.uid == ""
		t.problem = err
		return t.pods[i.uid] // as it was
	}
	pod, ok := t.pods[mapped.Pod.ID]
	if ok && pod.at.After(l.began) {
		return pod // an event is newer; the next list may have more
	}
	pod = t.update(now, l.began, mapped)
	delete(t.byHash, pod.hash)
	pod.hash = i.hash
	t.byHash[i.hash] = pod
	return pod
}

// event takes what a watch tells of one pod, and returns what changes.
func (t *tracker) event(now time.Time, mapped podmap.Mapped) []workloadmeta.CollectorEvent {
	pod := t.update(now, now, mapped)
	delete(t.byHash, pod.hash) // the next list shows it as it is
	return t.flush()
}

// done takes the kubelet's word that it is done with a pod, and returns what changes. The pod may
// still be there: a job's pod stays in lists until somebody deletes it.
func (t *tracker) done(now time.Time, uid string) []workloadmeta.CollectorEvent {
	pod, ok := t.pods[uid]
	if !ok || pod.ended {
		return nil
	}
	pod.ended, pod.at = true, now
	for i, c := range pod.Containers {
		if stopped := stop(c); stopped != c {
			pod.Containers[i] = stopped
			t.set(stopped)
		}
	}
	return t.flush()
}

// gone takes the API server's word that it has a pod no more, and returns what changes.
func (t *tracker) gone(now time.Time, uid string) []workloadmeta.CollectorEvent {
	if pod, ok := t.pods[uid]; ok {
		t.vanished(now, pod)
	}
	return t.flush()
}

// vanished ends a pod that the API server has no more. The mirror of a static pod may only be made
// anew.
func (t *tracker) vanished(now time.Time, pod *tracked) {
	switch {
	case pod.Pod.APIUID == "" && !podmap.Static(pod.Pod):
		t.finish(now, pod)
	case pod.goneSince.IsZero():
		pod.goneSince = now
	}
}

// all takes everything that the API server has, and returns what changes. Pods that are kept, by
// their UIDs at the API server, are there and could not be read: what is known of them stays.
func (t *tracker) all(now time.Time, list []podmap.Mapped,
	kept []string) []workloadmeta.CollectorEvent {
	seen := make(map[string]bool, len(list)+len(kept))
	for _, mapped := range list {
		seen[mapped.Pod.ID] = true
		delete(t.byHash, t.update(now, now, mapped).hash)
	}
	for _, uid := range kept {
		seen[uid] = uid != ""
	}
	for _, uid := range slices.Sorted(maps.Keys(t.pods)) {
		if pod := t.pods[uid]; !seen[uid] && !seen[pod.Pod.APIUID] {
			t.vanished(now, pod)
		}
	}
	return t.flush()
}

// outage notes that the kubelet could not be reached. Nothing ages meanwhile.
func (t *tracker) outage() {
	for _, pod := range t.pods {
		pod.missingSince = time.Time{}
	}
}

// restored notes that the kubelet is back after an outage. Where nothing was known before there is
// nothing that it could have lost.
func (t *tracker) restored(now time.Time) {
	if len(t.pods) == 0 {
		return
	}
	t.noEvidenceBefore = now.Add(graceOfRestart)
	t.holdReadyUntil = now.Add(graceOfRestart)
}

// tick does what only time brings, and returns what changes.
func (t *tracker) tick(now time.Time) []workloadmeta.CollectorEvent {
	for _, uid := range slices.Sorted(maps.Keys(t.pods)) {
		pod := t.pods[uid]
		if pod.held != nil && !now.Before(t.holdReadyUntil) {
			pod.Mapped, pod.held = *pod.held, nil
			t.report(pod)
		}
		if !pod.goneSince.IsZero() && now.Sub(pod.goneSince) >= absentFor {
			t.finish(now, pod)
			continue
		}
		for id, r := range pod.retired {
			if now.Sub(r.since) > keptFinished {
				delete(pod.retired, id)
				t.unset(r.container)
			}
		}
		if !pod.dropped && finished(pod.Pod) && now.Sub(pod.lastChange()) > keptFinished {
			pod.dropped = true
			t.withdraw(now, pod)
		}
	}
	return t.flush()
}

// settle forgets changes that are told in another way, but for the ends among them.
func (t *tracker) settle(changes []workloadmeta.CollectorEvent) {
	for _, e := range changes {
		if e.Type == workloadmeta.EventTypeUnset {
			t.out = append(t.out, e)
		}
	}
}

// everything returns all that is there, for somebody who is told for the first time.
func (t *tracker) everything() []workloadmeta.CollectorEvent {
	for _, uid := range slices.Sorted(maps.Keys(t.pods)) {
		pod := t.pods[uid]
		if pod.dropped {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(pod.retired)) {
			t.set(pod.retired[id].container)
		}
		t.report(pod)
	}
	return t.flush()
}

// hashes returns those of all items that are known as they are, for the next list.
func (t *tracker) hashes() map[uint64]bool {
	out := make(map[uint64]bool, len(t.byHash))
	for hash := range t.byHash {
		out[hash] = true
	}
	return out
}

// containers returns all containers that the kubelet has told of, by ID, and whether they run.
func (t *tracker) containers() map[string]bool {
	out := map[string]bool{}
	for _, pod := range t.pods {
		for _, c := range pod.Containers {
			out[c.ID] = c.State.Running
		}
		for id := range pod.retired {
			out[id] = false
		}
	}
	return out
}

// restless reports whether anything is about to change that nobody tells of: a pod that starts or
// is being deleted, or where there is a watch, that the object of one goes that the kubelet is done
// with.
func (t *tracker) restless(watched bool) bool {
	for _, pod := range t.pods {
		goes := !pod.Pod.DeletionTimestamp.IsZero()
		if watched && goes && pod.ended || !watched && !pod.dropped && !finished(pod.Pod) &&
			(goes || pod.Pod.Phase == "Pending") {
			return true
		}
	}
	return false
}

// update makes a pod what is said of it as of a time.
func (t *tracker) update(now, at time.Time, mapped podmap.Mapped) *tracked {
	pod, ok := t.pods[mapped.Pod.ID]
	if !ok {
		pod = &tracked{first: now}
		t.pods[mapped.Pod.ID] = pod
	}
	pod.at, pod.goneSince = at, time.Time{}
	switch {
	case !finished(mapped.Pod) && (anyRuns(mapped.Containers) || len(mapped.Containers) == 0):
		// It runs, or is about to: a static pod keeps its UID when it comes back.
		pod.ended, pod.dropped = false, false
	case pod.dropped && finished(mapped.Pod):
		pod.Mapped = mapped
		return pod
	}
	pod.dropped = false
	if pod.ended {
		for i, c := range mapped.Containers {
			mapped.Containers[i] = stop(c)
		}
	}
	t.retire(now, pod, mapped)
	pod.held = nil
	if ok && now.Before(t.holdReadyUntil) {
		if shown, holds := holdReady(pod.Mapped, mapped); holds {
			pod.held = &mapped
			mapped = shown
		}
	}
	pod.Mapped = mapped
	t.report(pod)
	return pod
}

// retire keeps the containers that a pod does not tell of any more: they have been replaced.
func (t *tracker) retire(now time.Time, pod *tracked, mapped podmap.Mapped) {
	for _, c := range mapped.Containers {
		delete(pod.retired, c.ID)
	}
	for _, c := range pod.Containers {
		if slices.ContainsFunc(mapped.Containers,
			func(have *workloadmeta.Container) bool { return have.ID == c.ID }) {
			continue
		}
		if pod.retired == nil {
			pod.retired = map[string]retired{}
		}
		c = stop(c)
		pod.retired[c.ID] = retired{c, now}
		t.set(c)
	}
}

// suspectRestart takes a list that has lost most pods, or all but static ones, for that of a
// kubelet that has just started. A watch that has told everything has said that it has.
func (t *tracker) suspectRestart(now time.Time, l listing, seen map[*tracked]bool, static bool) {
	before, lost := 0, 0
	for _, pod := range t.pods {
		was := pod.listed
		pod.listed = seen[pod]
		if !was || pod.goes() {
			continue // it is not missed, or expected to be missing
		}
		before++
		if !pod.listed {
			lost++
		}
	}
	if l.watched {
		return
	}
	if lost*2 > before || lost > 0 && static {
		t.noEvidenceBefore = now.Add(graceOfRestart)
	}
}

// absent reports whether a pod that a list lacks is gone.
func (t *tracker) absent(now time.Time, l listing, pod *tracked) bool {
	switch {
	case !pod.at.Before(l.began):
		return false // somebody has told of it since
	case t.nameless:
		return false // it may be the one that could not be read
	case pod.ended:
		return true
	case l.watched && !pod.Pod.DeletionTimestamp.IsZero():
		return false // its containers are still being stopped; the watch tells when they have
	case !l.watched && now.Before(t.noEvidenceBefore):
		return false
	case pod.goes():
		return true
	}
	if pod.missingSince.IsZero() {
		pod.missingSince = l.began
	}
	return l.began.Sub(pod.missingSince) >= absentFor
}

// goes reports whether a pod is expected to be missing from lists soon.
func (p *tracked) goes() bool {
	return p.ended || p.dropped || !p.Pod.DeletionTimestamp.IsZero() || finished(p.Pod)
}

// lastChange is when anything happened to a finished pod at the latest.
func (p *tracked) lastChange() time.Time {
	last := p.first
	later := func(at time.Time) {
		if at.After(last) {
			last = at
		}
	}
	for _, c := range p.Containers {
		later(c.State.FinishedAt)
	}
	for _, c := range p.Pod.Conditions {
		later(c.LastTransition)
	}
	return last
}

// finish withdraws a pod that is gone, with what is known of its end, and forgets it.
func (t *tracker) finish(now time.Time, pod *tracked) {
	if !pod.dropped {
		t.withdraw(now, pod)
	}
	delete(t.pods, pod.Pod.ID)
	delete(t.byHash, pod.hash)
}

func (t *tracker) withdraw(now time.Time, pod *tracked) {
	final := *pod.Pod
	for _, c := range pod.Containers {
		t.unset(c)
		if c.State.FinishedAt.After(final.FinishedAt) {
			final.FinishedAt = c.State.FinishedAt
		}
	}
	for _, id := range slices.Sorted(maps.Keys(pod.retired)) {
		t.unset(pod.retired[id].container)
	}
	pod.retired = nil
	if final.FinishedAt.IsZero() {
		final.FinishedAt = now
	}
	t.unset(&final)
}

// report tells of a pod, its containers first.
func (t *tracker) report(pod *tracked) {
	for _, c := range pod.Containers {
		t.set(c)
	}
	t.set(pod.Pod)
}

func (t *tracker) set(e workloadmeta.Entity) {
	t.out = append(t.out, workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Entity: e})
}

func (t *tracker) unset(e workloadmeta.Entity) {
	t.out = append(t.out,
		workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset, Entity: e})
}

// flush returns what has changed, deletions last.
func (t *tracker) flush() []workloadmeta.CollectorEvent {
	out := t.out
	t.out = nil
	slices.SortStableFunc(out, func(a, b workloadmeta.CollectorEvent) int {
		return int(a.Type) - int(b.Type)
	})
	return out
}

func finished(p *workloadmeta.KubernetesPod) bool {
	return p.Phase == "Succeeded" || p.Phase == "Failed"
}

func anyRuns(list []*workloadmeta.Container) bool {
	return slices.ContainsFunc(list,
		func(c *workloadmeta.Container) bool { return c.State.Running })
}

// stop returns the container as one that has ended, in a way that nobody knows unless it says so.
func stop(c *workloadmeta.Container) *workloadmeta.Container {
	if c.State.Status == workloadmeta.StatusStopped {
		return c
	}
	stopped := *c
	stopped.State = workloadmeta.ContainerState{Status: workloadmeta.StatusStopped,
		CreatedAt: c.State.CreatedAt, StartedAt: c.State.StartedAt}
	return &stopped
}

// holdReady returns what is said of a pod with the readiness that it had, and whether that makes a
// difference: some kubelets call every pod unready while they start.
func holdReady(before, after podmap.Mapped) (podmap.Mapped, bool) {
	if !before.Pod.Ready || after.Pod.Ready || after.Pod.Phase != "Running" ||
		!after.Pod.DeletionTimestamp.IsZero() {
		return after, false
	}
	pod := *after.Pod
	pod.Ready, pod.ReadyTimestamp = true, before.Pod.ReadyTimestamp
	pod.Conditions = before.Pod.Conditions
	shown := podmap.Mapped{Pod: &pod, Containers: slices.Clone(after.Containers)}
	for i, c := range shown.Containers {
		for _, was := range before.Containers {
			if was.ID == c.ID && was.State.Health == workloadmeta.HealthHealthy &&
				c.State.Health == workloadmeta.HealthUnhealthy {
				held := *c
				held.State.Health = was.State.Health
				shown.Containers[i] = &held
			}
		}
	}
	return shown, true
}
