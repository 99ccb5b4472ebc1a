package local

import (
	"slices"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// follower turns the events of the store into tag infos. It keeps the entities as the
// events tell of them, what each extraction asked about others, and who asked what, and
// extracts again whoever asked when an answer changes. So the infos of an entity depend on
// what there is, not on the order in which it came, nor on how far the store is ahead.
//
// It is used under Tagger.following.
type follower struct {
	x       *extract.Extractor
	sources interface { // nil: nobody is expected
		Expected(workloadmeta.Kind) []workloadmeta.Source
	}
	synced func() bool

	nodes  map[workloadmeta.EntityID]*node
	topics map[extract.Query]*topic
	global node // of the tags that everything carries

	dirty   []*node // to be extracted, in this order
	leaving []*node // that have gone; their last state is still to be extracted
	listed  bool    // what extractions have been told since refresh
	awaited [workloadmeta.NumKinds]bool

	asker    *node           // of the extraction under way
	asking   []extract.Query // what it has asked so far
	found    []workloadmeta.Entity
	report   func(extract.Problem)
	problems []extract.Problem // since they were last taken

	out  []tagger.TagInfo
	emit func([]tagger.TagInfo) // takes infos, which are its own until it returns
}

// node is an entity that the store has, or that has gone in the events at hand.
type node struct {
	entity   workloadmeta.Entity // nil for the global entity
	id       tagger.EntityID
	asked    []extract.Query // by its last extraction, sorted
	given    uint32          // kinds whose sources its last extraction made infos of, as bits
	complete bool            // as far as the store knows
	isDirty  bool            // it is in follower.dirty
	gone     bool            // it is in follower.leaving
}

// topic is a query with its answers, unless it is one by ID, and those who have asked it.
type topic struct {
	answers []*node // by ID
	first   *node   // who asked; nearly always there is one
	others  map[*node]struct{}
}

// maxOut is how many infos are handed over at once, so that neither the memory for them nor
// the time that they keep the tag store busy grows with a bundle.
const maxOut = 1024

func newFollower(x *extract.Extractor, store Store, emit func([]tagger.TagInfo)) *follower {
	f := &follower{
		x: x, synced: store.Synced, emit: emit,
		nodes:  map[workloadmeta.EntityID]*node{},
		topics: map[extract.Query]*topic{},
		global: node{id: tagger.GlobalEntityID},
	}
	f.sources, _ = store.(interface {
		Expected(workloadmeta.Kind) []workloadmeta.Source
	})
	f.report = func(p extract.Problem) { f.problems = append(f.problems, p) }
	f.mark(&f.global)
	return f
}

// apply gives out what the events mean for the tags.
func (f *follower) apply(events []workloadmeta.Event) {
	for i := range events {
		ev := &events[i]
		id := ev.Entity.GetID()
		n := f.nodes[id]
		if n != nil && n.gone {
			f.settle() // another one of this ID
			n = nil
		}
		if n == nil {
			n = &node{id: extract.TaggerID(id)}
			f.nodes[id] = n
		}
		f.set(n, ev.Entity, ev.Complete)
		if ev.Type == workloadmeta.EventTypeUnset {
			// The last state is extracted like any other, because what lived and died between
			// two looks has telemetry on the way, too.
			n.gone = true
			f.leaving = append(f.leaving, n)
		}
	}
	f.settle()
}

// set makes this the entity's state.
func (f *follower) set(n *node, e workloadmeta.Entity, complete bool) {
	if n.entity == e && n.complete == complete {
		return
	}
	f.changed(extract.Query{ID: e.GetID()})
	if n.entity != nil {
		for q := range extract.Answers(n.entity) {
			f.answer(q, n, false)
		}
	}
	n.entity, n.complete = e, complete
	for q := range extract.Answers(e) {
		f.answer(q, n, true)
	}
	f.mark(n)
}

// settle extracts what is to be extracted, and lets go who has gone. Those who leave keep
// what they know of each other: they left together.
func (f *follower) settle() {
	f.refresh()
	f.extract()
	for _, n := range f.leaving {
		f.withdraw(n, n.given)
		id := n.entity.GetID()
		delete(f.nodes, id)
		f.changed(extract.Query{ID: id})
		for q := range extract.Answers(n.entity) {
			f.answer(q, n, false)
		}
		f.ask(n, nil)
		if len(f.out) >= maxOut {
			f.flush()
		}
	}
	clear(f.leaving)
	if f.leaving = f.leaving[:0]; cap(f.leaving) > maxOut {
		f.leaving = nil
	}
	f.extract()
	f.flush()
}

// reload extracts everything anew by other options.
func (f *follower) reload(x *extract.Extractor) {
	f.x = x
	f.mark(&f.global)
	for _, n := range f.nodes {
		f.mark(n)
	}
	f.settle()
}

// refresh marks those who have asked which sources there are, if that has changed.
func (f *follower) refresh() {
	listed := f.synced()
	changed := listed != f.listed
	f.listed = listed
	if f.sources != nil {
		for _, kind := range workloadmeta.Kinds() {
			awaited := len(f.sources.Expected(kind)) > 0
			changed = changed || awaited != f.awaited[kind]
			f.awaited[kind] = awaited
		}
	}
	if changed {
		f.changed(extract.Query{Relation: extract.Sources})
	}
}

// extract makes the infos of all that is marked.
func (f *follower) extract() {
	for i := 0; i < len(f.dirty); i++ {
		n := f.dirty[i]
		f.dirty[i] = nil
		if n.isDirty = false; n != &f.global && f.nodes[n.entity.GetID()] != n {
			continue // it has gone
		}
		f.asker, f.asking = n, f.asking[:0]
		infos := f.x.ExtractAndCheck(n.entity, f, f.report)
		f.ask(n, f.asking)
		f.asker = nil
		before := n.given
		n.given = 0
		for j := range infos {
			n.given |= bitOf(infos[j].Source)
		}
		f.out = append(f.out, infos...)
		f.withdraw(n, before&^n.given)
		if len(f.out) >= maxOut {
			f.flush()
		}
	}
	f.dirty = f.dirty[:0]
	if cap(f.dirty) > maxOut {
		f.dirty = nil
	}
	clear(f.found)
}

// flush gives the infos out.
func (f *follower) flush() {
	if len(f.out) == 0 {
		return
	}
	f.emit(f.out)
	clear(f.out)
	f.out = f.out[:0]
}

func (f *follower) withdraw(n *node, sources uint32) {
	for _, kind := range workloadmeta.Kinds() {
		if sources&(1<<kind) != 0 {
			f.out = append(f.out, tagger.TagInfo{Source: extract.Source(kind), Entity: n.id,
				DeleteEntity: true})
		}
	}
}

// bitOf returns the bit of the kind whose source this is.
func bitOf(source string) uint32 {
	for _, kind := range workloadmeta.Kinds() {
		if extract.Source(kind) == source {
			return 1 << kind
		}
	}
	return 0
}

func (f *follower) mark(n *node) {
	if !n.isDirty {
		n.isDirty = true
		f.dirty = append(f.dirty, n)
	}
}

// changed marks those who have asked a query, of which the answer is another now.
func (f *follower) changed(q extract.Query) {
	t := f.topics[q]
	if t == nil {
		return
	}
	if t.first != nil {
		f.mark(t.first)
	}
	for n := range t.others {
		f.mark(n)
	}
}

// answer notes that an entity is or is no longer an answer of a query.
func (f *follower) answer(q extract.Query, n *node, is bool) {
	t := f.topic(q)
	at, held := slices.BinarySearchFunc(t.answers, n, compareNodes)
	switch {
	case is && !held:
		t.answers = slices.Insert(t.answers, at, n)
	case !is && held:
		t.answers = slices.Delete(t.answers, at, at+1)
	}
	f.changed(q)
	f.drop(q, t)
}

func compareNodes(a, b *node) int {
	x, y := a.entity.GetID(), b.entity.GetID()
	return extract.Query{ID: x}.Compare(extract.Query{ID: y})
}

// ask notes what an entity's extraction has asked. It sorts the queries.
func (f *follower) ask(n *node, queries []extract.Query) {
	slices.SortFunc(queries, extract.Query.Compare)
	queries = slices.Compact(queries)
	if slices.Equal(queries, n.asked) {
		return
	}
	before := n.asked
	n.asked = slices.Clone(queries)
	for _, q := range n.asked {
		f.topic(q).add(n)
	}
	for _, q := range before {
		if _, still := slices.BinarySearchFunc(n.asked, q, extract.Query.Compare); !still {
			t := f.topics[q]
			t.remove(n)
			f.drop(q, t)
		}
	}
}

func (f *follower) topic(q extract.Query) *topic {
	t := f.topics[q]
	if t == nil {
		t = &topic{}
		f.topics[q] = t
	}
	return t
}

// drop forgets a topic of which there is nothing to know.
func (f *follower) drop(q extract.Query, t *topic) {
	if len(t.answers) == 0 && t.first == nil && len(t.others) == 0 {
		delete(f.topics, q)
	}
}

func (t *topic) add(n *node) {
	switch {
	case t.first == nil || t.first == n:
		t.first = n
	case t.others == nil:
		t.others = map[*node]struct{}{n: {}}
	default:
		t.others[n] = struct{}{}
	}
}

func (t *topic) remove(n *node) {
	if t.first == n {
		t.first = nil
	}
	delete(t.others, n)
}

// Get implements [extract.Lookup].
func (f *follower) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	f.note(extract.Query{ID: id})
	if n, ok := f.nodes[id]; ok {
		return n.entity, nil
	}
	return nil, tagger.ErrUnknown
}

// Complete implements [extract.Lookup].
func (f *follower) Complete(id workloadmeta.EntityID) bool {
	n := f.nodes[id]
	return n != nil && n.complete
}

// Find implements [extract.Lookup].
func (f *follower) Find(q extract.Query) []workloadmeta.Entity {
	f.note(q)
	f.found = f.found[:0]
	if t := f.topics[q]; t != nil {
		for _, n := range t.answers {
			f.found = append(f.found, n.entity)
		}
	}
	return f.found
}

// Expected implements [extract.Lookup].
func (f *follower) Expected(kind workloadmeta.Kind) bool {
	f.note(extract.Query{Relation: extract.Sources})
	return f.awaited[kind]
}

// Listed implements [extract.Lookup].
func (f *follower) Listed() bool {
	f.note(extract.Query{Relation: extract.Sources})
	return f.listed
}

func (f *follower) note(q extract.Query) {
	if f.asker != nil {
		f.asking = append(f.asking, q)
	}
}
