package singlewriter_test

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/pkg/singlewriter"
)

// stamped is what the model holds for a key.
type stamped struct {
	value    int
	revision uint64
}

// TestModel compares a map with Go's under the same operations, with bursts in which it grows and
// ebbs in which it shrinks.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := maphash.MakeSeed()
		hash := func(k string) uint64 { return maphash.String(seed, k) }
		m, model := singlewriter.NewHashed[string, int](hash), map[string]stamped{}
		if rapid.Bool().Draw(t, "own hash") {
			m = singlewriter.New[string, int]()
			hash = nil
		}
		revision := uint64(0)
		set := func(i int) {
			k := fmt.Sprint(i)
			revision++
			old, oldRevision, had := m.Set(k, i, revision)
			want, wantHad := model[k]
			if old != want.value || oldRevision != want.revision || had != wantHad {
				t.Fatalf("Set(%s) = %d, %d, %t; had %+v, %t", k, old, oldRevision, had, want,
					wantHad)
			}
			model[k] = stamped{i, revision}
		}
		del := func(i int) {
			k := fmt.Sprint(i)
			old, oldRevision, had := m.Delete(k)
			want, wantHad := model[k]
			if old != want.value || oldRevision != want.revision || had != wantHad {
				t.Fatalf("Delete(%s) = %d, %d, %t; had %+v, %t", k, old, oldRevision, had, want,
					wantHad)
			}
			delete(model, k)
		}
		key := rapid.IntRange(0, 5000)
		t.Repeat(map[string]func(*rapid.T){
			"set":    func(t *rapid.T) { set(key.Draw(t, "key")) },
			"delete": func(t *rapid.T) { del(key.Draw(t, "key")) },
			"replace": func(t *rapid.T) {
				i := key.Draw(t, "key")
				m.Replace(fmt.Sprint(i), -i)
				if old, has := model[fmt.Sprint(i)]; has {
					model[fmt.Sprint(i)] = stamped{-i, old.revision}
				}
			},
			"burst": func(t *rapid.T) {
				first, n := key.Draw(t, "first"), rapid.IntRange(1, 3000).Draw(t, "n")
				for i := range n {
					set(first + i)
				}
			},
			"ebb": func(t *rapid.T) {
				first, n := key.Draw(t, "first"), rapid.IntRange(1, 4000).Draw(t, "n")
				for i := range n {
					del(first + i)
				}
			},
			"": func(t *rapid.T) {
				if m.Len() != len(model) {
					t.Fatalf("Len() = %d, want %d", m.Len(), len(model))
				}
				i := rapid.IntRange(0, 9000).Draw(t, "look up")
				v, ok := m.Get(fmt.Sprint(i))
				if want, has := model[fmt.Sprint(i)]; v != want.value || ok != has {
					t.Fatalf("Get(%d) = %d, %t; want %+v, %t", i, v, ok, want, has)
				}
				held, revision, ok := m.Key(fmt.Sprint(i))
				if want, has := model[fmt.Sprint(i)]; ok != has || revision != want.revision ||
					has && held != fmt.Sprint(i) {
					t.Fatalf("Key(%d) = %q, %d, %t; want %+v, %t", i, held, revision, ok, want, has)
				}
				if hash != nil {
					k := fmt.Sprint(i)
					v, ok := m.Find(hash(k), func(held string) bool { return held == k })
					again, okAgain := m.GetHashed(hash(k), k)
					want, has := model[k]
					if v != want.value || again != v || ok != has || okAgain != has {
						t.Fatalf("Find(%d) = %d, %t, GetHashed %d, %t; want %+v, %t", i, v, ok,
							again, okAgain, want, has)
					}
				}
				all := map[string]stamped{}
				m.Range(func(k string, v int, revision uint64) bool {
					if _, twice := all[k]; twice {
						t.Fatalf("%s twice", k)
					}
					all[k] = stamped{v, revision}
					return true
				})
				if !maps.Equal(all, model) {
					t.Fatalf("Range gives %d keys, want %d, or others", len(all), len(model))
				}
			},
		})
	})
}

// Of keys whose hashes begin alike, one half of a shard that is split gets all, again and again.
func TestHashesThatBeginAlike(t *testing.T) {
	seed := maphash.MakeSeed()
	m := singlewriter.NewHashed[int, int](
		func(k int) uint64 { return maphash.Comparable(seed, k) >> 8 })
	const n = 5000
	for i := range n {
		m.Set(i, i, 1)
	}
	for i := range n {
		if v, ok := m.Get(i); v != i || !ok {
			t.Fatalf("Get(%d) = %d, %t", i, v, ok)
		}
		m.Delete(i)
	}
	if m.Len() != 0 {
		t.Errorf("%d are left", m.Len())
	}
}

// TestReaders runs look-ups and walks beside a writer that lets the map grow and shrink. Keys
// below stable never change: every walk meets each of them once, and every look-up finds them. The
// value of the others only grows, so no reader may ever see it go back.
func TestReaders(t *testing.T) {
	const stable, peak = 500, 20_000
	m := singlewriter.New[string, int]()
	for i := range stable {
		m.Set(fmt.Sprint("stable", i), i, 1)
	}
	var clock atomic.Int64 // what the writer has set "clock" to
	var stop atomic.Bool
	var readers sync.WaitGroup
	fail := func(format string, args ...any) {
		t.Errorf(format, args...)
		stop.Store(true)
	}
	for range 2 {
		readers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if v, ok := m.Get(fmt.Sprint("stable", i%stable)); !ok || v != i%stable {
					fail("stable%d is %d, %t", i%stable, v, ok)
				}
				before := int(clock.Load())
				if v, _ := m.Get("clock"); v < before {
					fail("the clock was at %d, and a look-up after that found %d", before, v)
				}
				if i%100 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	readers.Go(func() {
		for !stop.Load() {
			seen := map[string]int{}
			at := clock.Load()
			m.Range(func(k string, v int, revision uint64) bool {
				seen[k]++
				if k == "clock" && uint64(v) > revision && int64(revision) <= at {
					fail("value %d with the older revision %d", v, revision)
				}
				return true
			})
			for i := range stable {
				if n := seen[fmt.Sprint("stable", i)]; n != 1 {
					fail("a walk met stable%d %d times", i, n)
					return
				}
			}
		}
	})
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	tick := 1
	for range rounds {
		for i := range peak {
			tick++
			m.Set(fmt.Sprint("churn", i), tick, uint64(tick))
			m.Set("clock", tick, uint64(tick))
			clock.Store(int64(tick))
		}
		for i := range peak {
			m.Delete(fmt.Sprint("churn", i))
		}
	}
	stop.Store(true)
	readers.Wait()
}

// TestMemoryOfAPeakIsGivenBack fills and empties a map, and refills it many times with other keys.
func TestMemoryOfAPeakIsGivenBack(t *testing.T) {
	heap := func() int {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int(s.HeapAlloc)
	}
	v := new(int)
	m := singlewriter.New[string, *int]()
	before := heap()
	const n = 100_000
	for i := range n {
		m.Set(fmt.Sprint(i), v, 1)
	}
	full := heap() - before
	if full > n*90 {
		t.Errorf("%d bytes a key", full/n)
	}
	for i := range n {
		m.Delete(fmt.Sprint(i))
	}
	if kept := heap() - before; kept > 16<<10 {
		t.Errorf("%d bytes are kept after all %d keys are gone", kept, n)
	}
	for i := range n { // a hundred live at a time
		m.Set(fmt.Sprint("x", i), v, 1)
		m.Delete(fmt.Sprint("x", i-100))
	}
	if kept := heap() - before; kept > 64<<10 {
		t.Errorf("%d bytes are kept of keys that came and went", kept)
	}
	runtime.KeepAlive(m)
}

func TestPointersAreKeptAsTheyAre(t *testing.T) {
	m := singlewriter.New[int, *string]()
	v := new("v")
	m.Set(1, v, 1)
	if got, ok := m.Get(1); got != v || !ok {
		t.Errorf("Get = %p, want %p", got, v)
	}
	if n := testing.AllocsPerRun(100, func() {
		m.Set(1, v, 2)
		m.Get(1)
		m.Get(2)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("Set to nil did not panic")
		}
	}()
	m.Set(1, nil, 3)
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		m, bare := singlewriter.New[string, *int](), map[string]*int{}
		for i := range n {
			k := fmt.Sprintf("container_id://%064x", i*7919)
			m.Set(k, new(i), 1)
			bare[k] = new(i)
		}
		ids := make([]string, n)
		for i := range n {
			ids[i] = fmt.Sprintf("container_id://%064x", i*7919)
		}
		rand.Shuffle(n, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		var sink *int
		b.Run(fmt.Sprintf("bare/%d", n), func(b *testing.B) {
			for i := range b.N {
				sink = bare[ids[i%n]]
			}
		})
		b.Run(fmt.Sprintf("map/%d", n), func(b *testing.B) {
			for i := range b.N {
				sink, _ = m.Get(ids[i%n])
			}
		})
		_ = sink
	}
}
