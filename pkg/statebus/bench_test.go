package statebus_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// The keys and values of the benchmarks have the shape of the workload store's:
// a kind, a 64-character ID and a pointer.
type benchKey struct {
	kind uint8
	id   string
}

type benchValue struct {
	generation int
}

type benchTable = statebus.Table[benchKey, *benchValue]

func benchKeys(n int) []benchKey {
	keys := make([]benchKey, n)
	for i := range keys {
		keys[i] = benchKey{1, fmt.Sprintf("%064x", uint64(i)*0x9e3779b97f4a7c15)}
	}
	return keys
}

func benchFill(keys []benchKey, opts statebus.Options) *benchTable {
	t := statebus.New[benchKey, *benchValue](opts)
	for i, k := range keys {
		t.Commit(statebus.Change[benchKey, *benchValue]{Key: k, Value: &benchValue{i}})
	}
	return t
}

// drain runs n consumers; the function it returns stops them and waits.
func drain(t *benchTable, n int, tier statebus.Tier) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg, ready sync.WaitGroup
	for i := range n {
		s := t.Subscribe(statebus.SubOptions[benchKey, *benchValue]{Name: fmt.Sprint("drain", i),
			Tier: tier})
		ready.Add(1)
		wg.Go(func() {
			defer s.Close()
			for b := range s.Bundles(ctx) {
				if b.Snapshot {
					ready.Done()
				}
				for i := range b.Events {
					_ = b.Events[i].Value
				}
			}
		})
	}
	ready.Wait()
	return func() { cancel(); wg.Wait() }
}

var sizes = []int{1_000, 10_000, 100_000, 1_000_000}

func BenchmarkCommitOneChange(b *testing.B) {
	for _, subs := range []int{0, 1, 10} {
		for _, size := range sizes {
			b.Run(fmt.Sprintf("subs=%d/entries=%d", subs, size), func(b *testing.B) {
				keys := benchKeys(size)
				t := benchFill(keys, statebus.Options{})
				stop := drain(t, subs, statebus.First)
				defer stop()
				v := &benchValue{}
				b.ReportAllocs()
				runtime.GC()
				i := 0
				for b.Loop() {
					t.Commit(statebus.Change[benchKey, *benchValue]{Key: keys[i], Value: v})
					if i++; i == len(keys) {
						i = 0
					}
				}
			})
		}
	}
}

// BenchmarkCommitFiltered has ten subscribers, one of which takes the change.
func BenchmarkCommitFiltered(b *testing.B) {
	keys := benchKeys(10_000)
	t := benchFill(keys, statebus.Options{})
	stop := drain(t, 1, statebus.First)
	defer stop()
	for range 9 {
		s := t.Subscribe(statebus.SubOptions[benchKey, *benchValue]{
			Match: func(k benchKey, _ *benchValue) bool { return k.kind == 2 },
		})
		defer s.Close()
		for range s.Bundles(b.Context()) {
			break
		}
	}
	v := &benchValue{}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t.Commit(statebus.Change[benchKey, *benchValue]{Key: keys[i], Value: v})
		if i++; i == len(keys) {
			i = 0
		}
	}
}

// BenchmarkCommitTwoTiers has one subscriber in each tier.
func BenchmarkCommitTwoTiers(b *testing.B) {
	keys := benchKeys(10_000)
	t := benchFill(keys, statebus.Options{})
	stop1 := drain(t, 1, statebus.First)
	defer stop1()
	stop2 := drain(t, 1, statebus.Second)
	defer stop2()
	v := &benchValue{}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t.Commit(statebus.Change[benchKey, *benchValue]{Key: keys[i], Value: v})
		if i++; i == len(keys) {
			i = 0
		}
	}
}

// BenchmarkCommitBatch reports the time of one of a thousand changes.
func BenchmarkCommitBatch(b *testing.B) {
	keys := benchKeys(10_000)
	t := benchFill(keys, statebus.Options{})
	stop := drain(t, 1, statebus.First)
	defer stop()
	v := &benchValue{}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t.Update(func(tx *statebus.Tx[benchKey, *benchValue]) {
			for range 1000 {
				tx.Set(keys[i], v)
				if i++; i == len(keys) {
					i = 0
				}
			}
		})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/change")
}

// BenchmarkStalledSubscriber has one subscriber that drains and one that never
// comes; it also reports the slowest commits.
func BenchmarkStalledSubscriber(b *testing.B) {
	for _, stalled := range []int{0, 1} {
		for _, size := range []int{1_000, 100_000} {
			b.Run(fmt.Sprintf("stalled=%d/entries=%d", stalled, size), func(b *testing.B) {
				keys := benchKeys(size)
				t := benchFill(keys, statebus.Options{})
				stop := drain(t, 1, statebus.First)
				defer stop()
				for range stalled {
					defer t.Subscribe(statebus.SubOptions[benchKey, *benchValue]{}).Close()
				}
				v := &benchValue{}
				took := make([]time.Duration, 0, 1<<22)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					start := time.Now()
					t.Commit(statebus.Change[benchKey, *benchValue]{Key: keys[i], Value: v})
					if len(took) < cap(took) {
						took = append(took, time.Since(start))
					}
					if i++; i == len(keys) {
						i = 0
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
				b.ReportMetric(float64(took[len(took)*999/1000]), "p99.9-ns")
				b.ReportMetric(float64(took[len(took)-1]), "max-ns")
			})
		}
	}
}

func BenchmarkUpdateNothing(b *testing.B) {
	keys := benchKeys(10_000)
	t := benchFill(keys, statebus.Options{})
	stop := drain(t, 1, statebus.First)
	defer stop()
	b.Run("empty", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t.Update(func(tx *statebus.Tx[benchKey, *benchValue]) {})
		}
	})
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		i, found := 0, 0
		for b.Loop() {
			t.Update(func(tx *statebus.Tx[benchKey, *benchValue]) {
				if _, ok := tx.Get(keys[i]); ok {
					found++
				}
			})
			if i++; i == len(keys) {
				i = 0
			}
		}
	})
}

// plainMap is what a look-up costs at least: a Go map behind a method, as any
// store has one. (A look-up of a key that lies in memory already, "map", is some
// 15 ns faster for this key: passing a byte and a string costs the hash a stall.)
type plainMap[K comparable, V any] struct{ m map[K]V }

//go:noinline
func (p *plainMap[K, V]) Get(k K) (V, bool) { v, ok := p.m[k]; return v, ok }

func BenchmarkGet(b *testing.B) {
	for _, size := range sizes {
		keys := benchKeys(size)
		t := benchFill(keys, statebus.Options{})
		bare := make(map[benchKey]*benchValue)
		for k, v := range t.All() {
			bare[k] = v
		}
		behind := &plainMap[benchKey, *benchValue]{bare}
		run := func(name string, get func(i int) bool) {
			b.Run(fmt.Sprintf("%s/entries=%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if !get(i) {
						b.Fatal("missing")
					}
					if i++; i == len(keys) {
						i = 0
					}
				}
			})
		}
		run("table", func(i int) bool { _, ok := t.Get(keys[i]); return ok })
		run("method", func(i int) bool { _, ok := behind.Get(keys[i]); return ok })
		run("map", func(i int) bool { _, ok := bare[keys[i]]; return ok })
	}
}

// BenchmarkSnapshot is Subscribe and the first bundle, and the longest that a
// committer was held up meanwhile.
func BenchmarkSnapshot(b *testing.B) {
	for _, filtered := range []bool{false, true} {
		for _, writing := range []bool{false, true} {
			b.Run(fmt.Sprintf("entries=100000/filtered=%t/writing=%t", filtered, writing),
				func(b *testing.B) {
					keys := benchKeys(100_000)
					t := benchFill(keys, statebus.Options{})
					var opts statebus.SubOptions[benchKey, *benchValue]
					if filtered {
						opts.Match = func(k benchKey, _ *benchValue) bool { return k.kind == 1 }
					}
					done := make(chan struct{})
					var took []time.Duration
					var wg sync.WaitGroup
					if writing {
						wg.Go(func() {
							v := &benchValue{}
							for i := 0; ; i++ {
								select {
								case <-done:
									return
								default:
								}
								start := time.Now()
								t.Commit(statebus.Change[benchKey,
									*benchValue]{Key: keys[i%len(keys)],
									Value: v})
								took = append(took, time.Since(start))
								time.Sleep(20 * time.Microsecond)
							}
						})
					}
					for b.Loop() {
						s := t.Subscribe(opts)
						for bundle := range s.Bundles(b.Context()) {
							if len(bundle.Events) != len(keys) {
								b.Fatal("incomplete", len(bundle.Events))
							}
							break
						}
						s.Close()
					}
					close(done)
					wg.Wait()
					if len(took) > 0 {
						slices.Sort(took)
						b.ReportMetric(float64(took[len(took)*999/1000]), "commit-p99.9-ns")
						b.ReportMetric(float64(took[len(took)-1]), "commit-max-ns")
					}
				})
		}
	}
}

// BenchmarkMemory reports the bytes of the table per key, without the strings
// and the values.
func BenchmarkMemory(b *testing.B) {
	for _, size := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", size), func(b *testing.B) {
			keys := benchKeys(size)
			v := &benchValue{}
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				t := statebus.New[benchKey, *benchValue](statebus.Options{})
				for _, k := range keys {
					t.Commit(statebus.Change[benchKey, *benchValue]{Key: k, Value: v})
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(size), "B/key")
				runtime.KeepAlive(t)
			}
			runtime.KeepAlive(keys)
		})
	}
}

// BenchmarkWake is the time from a commit to the body of a consumer that slept.
func BenchmarkWake(b *testing.B) {
	keys := benchKeys(1000)
	t := benchFill(keys, statebus.Options{})
	s := t.Subscribe(statebus.SubOptions[benchKey, *benchValue]{Name: "wake"})
	defer s.Close()
	got := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for range s.Bundles(ctx) {
			got <- struct{}{}
		}
	})
	<-got
	v := &benchValue{}
	for b.Loop() {
		t.Commit(statebus.Change[benchKey, *benchValue]{Key: keys[0], Value: v})
		<-got
	}
	cancel()
	wg.Wait()
}
