package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/tools/cache"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

func filledTagstore(n int) (*tagstore.Store, []tagger.EntityID) {
	return fillBeside(n, func(tagger.EntityID) {})
}

// fillBeside also tells of each key as the store holds it, so that a baseline can be
// filled in step: the same keys, at the same places in memory. The IDs it returns come in
// no order, and none is the string that is a key, nor lies beside it: made right after its
// key, it would be fetched into the processor's cache together with it, which flatters
// whoever compares the two, a bare map above all.
func fillBeside(n int, beside func(tagger.EntityID)) (*tagstore.Store, []tagger.EntityID) {
	s := tagstore.New(tagstore.Options{})
	for i := range n {
		batch := infos(i, 0)
		beside(batch[0].Entity)
		must(s.Process(batch))
	}
	ids := make([]tagger.EntityID, n)
	for i := range n {
		ids[i] = tagger.Container(containerID(i))
	}
	shuffle(ids)
	return s, ids
}

func shuffle[T any](ids []T) {
	x := uint64(1)
	for i := len(ids) - 1; i > 0; i-- {
		x = x*6364136223846793005 + 1442695040888963407
		j := int(x>>33) % (i + 1)
		ids[i], ids[j] = ids[j], ids[i]
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// shortRounds is how often a query is measured in turn with its baseline: for a millisecond
// or two each time, so that on a shared machine some rounds go undisturbed.
const shortRounds = 60

type stringKey struct{ id string }

// tagQueries compares a query with a look-up of the same key in a bare map, which holds
// the same keys at the same places, while nobody writes and beside a writer that never
// rests.
func tagQueries() []row {
	var rows []row
	for _, n := range []int{1000, 10_000, 100_000} {
		rows = append(rows, tagQueriesAmong(n)...)
	}
	return rows
}

// A round beside the writer counts only if the writer was at work throughout, not held up by
// other processes.
func tagQueriesAmong(n int) []row {
	queries := max(n, 20_000)
	bare := make(map[tagger.EntityID]*stringKey, n)
	s, ids := fillBeside(n, func(id tagger.EntityID) { bare[id] = &stringKey{string(id)} })
	var sink *stringKey
	var tags tagset.Tags
	lookup := func() float64 { return nsPer(queries, func(i int) { sink = bare[ids[i%n]] }) }
	query := func() float64 {
		return nsPer(queries, func(i int) { tags, _ = s.Tags(ids[i%n], tagger.HighCardinality) })
	}
	quiet := best(shortRounds, lookup, query)

	ctx, stop := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	var writes atomic.Int64
	writer.Go(func() {
		var batches [2][500][]tagger.TagInfo
		for i := range 500 {
			batches[0][i], batches[1][i] = infos(i*n/500, 1), infos(i*n/500, 2)
		}
		for i := 0; ctx.Err() == nil; i++ {
			must(s.Process(batches[i/500%2][i%500]))
			writes.Add(1)
		}
	})
	beside := func(measure func() float64) func() float64 {
		return func() float64 {
			for range 3 {
				before, began := writes.Load(), time.Now()
				v := measure()
				if writes.Load()-before > int64(time.Since(began)/(10*time.Microsecond)) {
					return v
				}
			}
			return math.MaxFloat64 // others have both cores
		}
	}
	busy := best(shortRounds/4, beside(lookup), beside(query))
	stop()
	writer.Wait()
	_, _ = sink, tags
	return []row{
		ratioed(fmt.Sprintf("Tags(id, High), %s entities", count(n)), quiet[1], "ns", quiet[0],
			"bare map", 1.2),
		ratioed("the same while a writer saturates the other core", busy[1], "ns", busy[0],
			"bare map, same writer", 1.4),
	}
}

// tagQueryKinds compares ways to ask.
func tagQueryKinds() []row {
	const n, queries = 10_000, 20_000
	bare := make(map[tagger.EntityID]*stringKey, n)
	var mu sync.RWMutex
	indexer := cache.NewIndexer(func(obj any) (string, error) { return obj.(*stringKey).id, nil },
		cache.Indexers{})
	s, ids := fillBeside(n, func(id tagger.EntityID) {
		value := &stringKey{string(id)}
		bare[id] = value
		must(indexer.Add(value))
	})
	var sink *stringKey
	var tags tagset.Tags
	var copied []string
	view := func(i int) { tags, _ = s.Tags(ids[i%n], tagger.HighCardinality) }
	duplicate := func(i int) {
		tags, _ = s.Tags(ids[i%n], tagger.HighCardinality)
		copied = tags.Slice()
	}
	var buffer []string
	appended := func(i int) {
		tags, _ = s.Tags(ids[i%n], tagger.HighCardinality)
		buffer = tags.AppendTo(buffer[:0])
	}
	// What no copy can go below: the look-up, and a copy of as many strings that lie in one place
	// and in the processor's cache.
	some, err := s.Tags(ids[0], tagger.HighCardinality)
	must(err)
	hot := some.Slice()
	floor := func(i int) {
		tags, _ = s.Tags(ids[i%n], tagger.HighCardinality)
		copied = slices.Clone(hot)
	}
	bareIDs := make([]string, n)
	for i := range n {
		bareIDs[i] = containerID(i)
	}
	shuffle(bareIDs)
	byParts := func(i int) {
		tags, _ = s.TagsOf(tagger.PrefixContainer, bareIDs[i%n], tagger.HighCardinality)
	}
	handle := s.Handle(ids[0])
	out := best(shortRounds,
		func() float64 { return nsPer(queries, func(i int) { sink = bare[ids[i%n]] }) },
		func() float64 { return nsPer(queries, view) },
		func() float64 {
			return nsPer(queries, func(i int) {
				mu.RLock()
				sink = bare[ids[i%n]]
				mu.RUnlock()
			})
		},
		func() float64 {
			return nsPer(queries/4, func(i int) { _, _, _ = indexer.GetByKey(string(ids[i%n])) })
		},
		func() float64 {
			return nsPer(queries*4, func(int) { tags = handle.Tags(tagger.HighCardinality) })
		},
		func() float64 { return nsPer(queries*4, func(int) {}) },
	)
	// In turn with each other alone: what ran before has left its strings in the cache.
	copies := best(shortRounds, func() float64 { return nsPer(queries, view) },
		func() float64 { return nsPer(queries, duplicate) },
		func() float64 { return nsPer(queries, floor) },
		func() float64 { return nsPer(queries, appended) })
	parts := best(shortRounds, func() float64 { return nsPer(queries, view) },
		func() float64 { return nsPer(queries, byParts) })
	_, _, _ = sink, tags, copied
	return []row{
		bounded("Tags(id, High), allocations", allocsPer(10_000, view), "allocs", 0),
		ratioed("TagsOf(prefix, id, High)", parts[1], "ns", parts[0], "whole ID", 1.2),
		bounded("TagsOf(prefix, id, High), allocations", allocsPer(10_000, byParts), "allocs", 0),
		compared("Tag, a copy", copies[1], "ns", copies[0], "view"),
		compared("the view and a copy of as many strings at one hot place", copies[2], "ns",
			copies[0], "view"),
		compared("Tags and AppendTo a buffer", copies[3], "ns", copies[0], "view"),
		bounded("Tags and AppendTo a buffer, allocations", allocsPer(10_000, appended), "allocs",
			0),
		bounded("Handle.Tags", max(0, out[4]-out[5]), "ns", 3),
		compared("a map behind a RWMutex", out[2], "ns", out[0], "bare map"),
		compared("client-go's indexer, GetByKey", out[3], "ns", out[0], "bare map"),
	}
}

func tagReplacement() []row {
	const n = 1000
	s, _ := filledTagstore(n)
	var batches [2][n][]tagger.TagInfo
	for i := range n {
		batches[0][i], batches[1][i] = infos(i, 1), infos(i, 2)
	}
	round := 0
	replace := func(i int) { must(s.Process(batches[(round+i/n)%2][i%n])) }
	measured := best(7, func() float64 {
		round++
		return nsPer(20*n, replace)
	})
	return []row{
		bounded("tag store: replace both sources of one entity (22 tags)", measured[0]/1000, "µs",
			2.5),
		bounded("tag store: the same, allocations", allocsPer(10*n, replace), "allocs", 8),
	}
}

func tagMemory() []row {
	const n = 100_000
	bytes := heapOf(func() any {
		s, ids := filledTagstore(n)
		clear(ids)
		return s
	}) / n
	// The list of IDs was made on the way and is garbage by now.
	return []row{bounded("tag store: memory per container, strings included, 100k", bytes/1000,
		"kB", 0.85)}
}

// hot is how many entities the events of the flatness rows are about: few enough to stay
// in the processor's cache, because it is the algorithm that has to be flat.
const hot = 200

// tagFlatness compares the cost of events about a few entities while n are stored with
// that of the same events while nothing else is stored.
func tagFlatness() []row {
	prepare := func(n int) func() float64 {
		s, _ := filledTagstore(n)
		var batches [2][hot][]tagger.TagInfo
		for i := range hot {
			batches[0][i], batches[1][i] = infos(i, 1), infos(i, 2)
		}
		call := 0
		return func() float64 {
			return nsPer(20_000, func(int) {
				must(s.Process(batches[call/hot%2][call%hot]))
				call++
			})
		}
	}
	return flatness("tag store", prepare)
}

func flatness(what string, prepare func(n int) (measure func() float64)) []row {
	var rows []row
	small := prepare(1000)
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		large := prepare(n)
		runtime.GC()
		both := best(15, small, large)
		rows = append(rows,
			ratioed(fmt.Sprintf("%s: cost per event at %s entities", what, count(n)), both[1]/1000,
				"µs", both[0]/1000, "1k entities", 1.3))
	}
	return rows
}

func count(n int) string {
	if n >= 1_000_000 {
		return fmt.Sprintf("%dM", n/1_000_000)
	}
	return fmt.Sprintf("%dk", n/1000)
}
