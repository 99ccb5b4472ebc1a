package local

import (
	"slices"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// graph turns the events of the store into tag infos. Its nodes are the entities, as the
// events tell of them; its edges are what each extraction asked about others, and whoever
// asked is extracted again when an answer changes. So the infos of an entity depend on
// what there is, not on the order in which it came, nor on how far the store is ahead.
//
// It is used under Tagger.graphMu.
type graph struct {
	x       *extract.Extractor
	sources interface { // nil: nobody is expected
		Expected(workloadmeta.Kind) []workloadmeta.Source
	}
	synced func() bool

	nodes  map[workloadmeta.EntityID]*node
	topics map[extract.Query]*topic
	also   map[tagger.EntityID]*node // whose the other IDs are
	global node                      // of the tags that everything carries

	dirty   []*node // to be extracted, in this order
	leaving []*node // that have gone; their last state is still to be extracted
	listed  bool    // what extractions have been told since refresh
	awaited [workloadmeta.NumKinds]bool

	asker    *node           // of the extraction under way
	asking   []extract.Query // what it has asked so far, but for the sources
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
	also     tagger.EntityID // its other ID, of which its last extraction made infos; "" = none
	asked    []*topic        // by its last extraction, in the order of their queries
	given    uint32          // kinds whose sources its last extraction made infos of, as bits
	complete bool            // as far as the store knows
	sources  bool            // its last extraction asked which sources there are
	isDirty  bool            // it is in graph.dirty
	gone     bool            // it is in graph.leaving
}

// topic is a query with its answers, unless it is one by ID, and those who have asked it.
type topic struct {
	query   extract.Query
	answers []*node // by ID
	first   *node   // who asked; nearly always there is one
	others  map[*node]struct{}
}

// disown notes that an entity has its other ID no more, and reports whether the infos about that
// were its: another may be called so as well by now. One that has the ID by right is extracted
// after those who had asked for it.
func (g *graph) disown(n *node, also tagger.EntityID) bool {
	if also == "" || g.also[also] != n {
		return false
	}
	delete(g.also, also)
	return true
}

// maxOut is how many infos are handed over at once, so that neither the memory for them nor
// the time that they keep the tag store busy grows with a bundle.
const maxOut = 1024

func newGraph(x *extract.Extractor, store Store, emit func([]tagger.TagInfo)) *graph {
	g := &graph{
		x: x, synced: store.Synced, emit: emit,
		nodes:  map[workloadmeta.EntityID]*node{},
		topics: map[extract.Query]*topic{},
		also:   map[tagger.EntityID]*node{},
		global: node{id: tagger.GlobalEntityID},
	}
	g.sources, _ = store.(interface {
		Expected(workloadmeta.Kind) []workloadmeta.Source
	})
	g.report = func(p extract.Problem) { g.problems = append(g.problems, p) }
	g.mark(&g.global)
	return g
}

// apply gives out what the events mean for the tags.
func (g *graph) apply(events []workloadmeta.Event) {
	for i := range events {
		ev := &events[i]
		id := ev.Entity.GetID()
		n := g.nodes[id]
		if n != nil && n.gone {
			g.extractPending() // another one of this ID
			n = nil
		}
		if n == nil {
			n = &node{id: extract.TaggerID(id)}
			g.nodes[id] = n
		}
		g.set(n, ev.Entity, ev.Complete)
		if ev.Type == workloadmeta.EventTypeUnset {
			// The last state is extracted like any other, because what lived and died between
			// two looks has telemetry on the way, too.
			n.gone = true
			g.leaving = append(g.leaving, n)
		}
	}
	g.extractPending()
}

// set makes this the entity's state.
func (g *graph) set(n *node, e workloadmeta.Entity, complete bool) {
	if n.entity == e && n.complete == complete {
		return
	}
	g.changed(extract.Query{ID: e.GetID()})
	before := n.entity
	if before != nil {
		for q := range extract.Answers(before) {
			if !extract.SameAnswer(q, before, e) {
				g.answer(q, n, false)
			}
		}
	}
	n.entity, n.complete = e, complete
	for q := range extract.Answers(e) {
		if before == nil || !extract.SameAnswer(q, before, e) {
			g.answer(q, n, true)
		}
	}
	g.mark(n)
}

// extractPending extracts what is to be extracted, and lets go who has gone. Those who leave keep
// what they know of each other: they left together.
func (g *graph) extractPending() {
	g.refresh()
	g.extract(false)
	for _, n := range g.leaving {
		g.withdraw(n.id, n.given)
		if g.disown(n, n.also) {
			g.withdraw(n.also, n.given)
		}
		id := n.entity.GetID()
		delete(g.nodes, id)
		g.changed(extract.Query{ID: id})
		for q := range extract.Answers(n.entity) {
			g.answer(q, n, false)
		}
		g.ask(n, nil)
		if len(g.out) >= maxOut {
			g.flush()
		}
	}
	clear(g.leaving)
	if g.leaving = g.leaving[:0]; cap(g.leaving) > maxOut {
		g.leaving = nil
	}
	g.extract(true)
	g.flush()
}

// reload extracts everything anew by other options.
func (g *graph) reload(x *extract.Extractor) {
	g.x = x
	g.mark(&g.global)
	for _, n := range g.nodes {
		g.mark(n)
	}
	g.extractPending()
}

// refresh marks those who have asked which sources there are, if that has changed.
func (g *graph) refresh() {
	listed := g.synced()
	changed := listed != g.listed
	g.listed = listed
	if g.sources != nil {
		for _, kind := range workloadmeta.Kinds() {
			awaited := len(g.sources.Expected(kind)) > 0
			changed = changed || awaited != g.awaited[kind]
			g.awaited[kind] = awaited
		}
	}
	if !changed {
		return
	}
	// Nearly everybody asks for these, and they change a few times in a process's life: a mark on
	// each who has asked is less than a topic that has them all.
	for _, n := range g.nodes {
		if n.sources {
			g.mark(n)
		}
	}
	if g.global.sources {
		g.mark(&g.global)
	}
}

// parentKinds are, as bits, the kinds of which a container belongs to one entity at a time.
var parentKinds = bitOf(tagger.SourceKubernetesPod) | bitOf(tagger.SourceECSTask)

// extract makes the infos of all that is marked. Tags that an entity has from another one go at
// once where the two have parted: they are wrong from then on. Where the other one has left, they
// are its last word, and have the grace time that its own tags have, unless a third has taken its
// place.
func (g *graph) extract(left bool) {
	for i := 0; i < len(g.dirty); i++ {
		n := g.dirty[i]
		g.dirty[i] = nil
		if n.isDirty = false; n != &g.global && g.nodes[n.entity.GetID()] != n {
			continue // it has gone
		}
		g.asker, g.asking, n.sources = n, g.asking[:0], false
		infos := g.x.ExtractAndCheck(n.entity, g, g.report)
		g.ask(n, g.asking)
		g.asker = nil
		before, also := n.given, n.also
		n.given, n.also = 0, ""
		for j := range infos {
			n.given |= bitOf(infos[j].Source)
			if infos[j].Entity != n.id {
				n.also = infos[j].Entity
			}
		}
		if also != n.also {
			if g.disown(n, also) {
				g.erase(also, before)
				g.withdraw(also, before)
			}
			if n.also != "" {
				g.also[n.also] = n
			}
		}
		g.out = append(g.out, infos...)
		lost := before &^ n.given
		switch {
		case !left:
			g.erase(n.id, lost)
		case n.given&parentKinds != 0:
			g.erase(n.id, lost&parentKinds)
		}
		g.withdraw(n.id, lost)
		if len(g.out) >= maxOut {
			g.flush()
		}
	}
	g.dirty = g.dirty[:0]
	if cap(g.dirty) > maxOut {
		g.dirty = nil
	}
	clear(g.found)
}

// flush gives the infos out.
func (g *graph) flush() {
	if len(g.out) == 0 {
		return
	}
	g.emit(g.out)
	clear(g.out)
	g.out = g.out[:0]
}

// erase takes away the tags of sources, which otherwise have a grace time.
func (g *graph) erase(id tagger.EntityID, sources uint32) {
	for _, kind := range workloadmeta.Kinds() {
		if sources&(1<<kind) != 0 {
			g.out = append(g.out, tagger.TagInfo{Source: extract.Source(kind), Entity: id,
				IsComplete: true})
		}
	}
}

func (g *graph) withdraw(id tagger.EntityID, sources uint32) {
	for _, kind := range workloadmeta.Kinds() {
		if sources&(1<<kind) != 0 {
			g.out = append(g.out, tagger.TagInfo{Source: extract.Source(kind), Entity: id,
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

func (g *graph) mark(n *node) {
	if !n.isDirty {
		n.isDirty = true
		g.dirty = append(g.dirty, n)
	}
}

// changed marks those who have asked a query, of which the answer is another now.
func (g *graph) changed(q extract.Query) {
	t := g.topics[q]
	if t == nil {
		return
	}
	if t.first != nil {
		g.mark(t.first)
	}
	for n := range t.others {
		g.mark(n)
	}
}

// answer notes that an entity is or is no longer an answer of a query.
func (g *graph) answer(q extract.Query, n *node, is bool) {
	t := g.topic(q)
	at, held := slices.BinarySearchFunc(t.answers, n, compareNodes)
	switch {
	case is && !held:
		t.answers = slices.Insert(t.answers, at, n)
	case !is && held:
		t.answers = slices.Delete(t.answers, at, at+1)
	}
	g.changed(q)
	g.drop(t)
}

func compareNodes(a, b *node) int {
	x, y := a.entity.GetID(), b.entity.GetID()
	return extract.Query{ID: x}.Compare(extract.Query{ID: y})
}

// ask notes what an entity's extraction has asked. It sorts the queries.
func (g *graph) ask(n *node, queries []extract.Query) {
	slices.SortFunc(queries, extract.Query.Compare)
	queries = slices.Compact(queries)
	if slices.EqualFunc(queries, n.asked,
		func(q extract.Query, t *topic) bool { return q == t.query }) {
		return
	}
	before := n.asked
	n.asked = make([]*topic, len(queries))
	for i, q := range queries {
		n.asked[i] = g.topic(q)
		n.asked[i].add(n)
	}
	for _, t := range before {
		if !slices.Contains(n.asked, t) {
			t.remove(n)
			g.drop(t)
		}
	}
}

func (g *graph) topic(q extract.Query) *topic {
	t := g.topics[q]
	if t == nil {
		t = &topic{query: q}
		g.topics[q] = t
	}
	return t
}

// drop forgets a topic of which there is nothing to know.
func (g *graph) drop(t *topic) {
	if len(t.answers) == 0 && t.first == nil && len(t.others) == 0 {
		delete(g.topics, t.query)
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
func (g *graph) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	g.note(extract.Query{ID: id})
	if n, ok := g.nodes[id]; ok {
		return n.entity, nil
	}
	return nil, tagger.ErrUnknown
}

// Complete implements [extract.Lookup].
func (g *graph) Complete(id workloadmeta.EntityID) bool {
	n := g.nodes[id]
	return n != nil && n.complete
}

// Find implements [extract.Lookup].
func (g *graph) Find(q extract.Query) []workloadmeta.Entity {
	g.note(q)
	g.found = g.found[:0]
	if t := g.topics[q]; t != nil {
		for _, n := range t.answers {
			g.found = append(g.found, n.entity)
		}
	}
	return g.found
}

// Expected implements [extract.Lookup].
func (g *graph) Expected(kind workloadmeta.Kind) bool {
	g.note(extract.Query{Relation: extract.Sources})
	return g.awaited[kind]
}

// Listed implements [extract.Lookup].
func (g *graph) Listed() bool {
	g.note(extract.Query{Relation: extract.Sources})
	return g.listed
}

func (g *graph) note(q extract.Query) {
	switch {
	case g.asker == nil:
	case q.Relation == extract.Sources:
		g.asker.sources = true
	default:
		g.asking = append(g.asking, q)
	}
}
