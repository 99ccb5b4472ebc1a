package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func benchmarks() []benchmark {
	return []benchmark{
		{"tag queries", tagQueries},
		{"tag query kinds", tagQueryKinds},
		{"tag replacement", tagReplacement},
		{"tag memory", tagMemory},
		{"store queries", storeQueries},
		{"store notify", storeNotify},
		{"store notify beside one that lags", laggingSubscriber},
		{"store memory", storeMemory},
		{"snapshot", snapshot},
		{"stalled subscriber", stalledSubscriber},
		{"tag flatness", tagFlatness},
		{"store flatness", storeFlatness},
		{"runtime start: docker", dockerStart},
		{"runtime start: containerd", containerdStart},
		{"runtime start: podman", podmanStart},
		{"runtime start: cri", criStart},
		{"cluster level", clusterLevel},
		{"relations", relations},
		{"watch", watchProcess},
	}
}

func filledStore(n int) *store.Store {
	s := store.New(store.Options{})
	for i := range n {
		must(s.Notify(set(container(i, 0))))
	}
	return s
}

// subscribe starts n subscribers that do nothing with what they get.
func subscribe(s *store.Store, n int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range n {
		sub := s.Subscribe(fmt.Sprintf("bench-%d", i), nil)
		all.Go(func() {
			defer sub.Close()
			for range sub.Bundles(ctx) {
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

func storeNotify() []row {
	const n = 1000
	s := filledStore(n)
	var events [2][n][]workloadmeta.CollectorEvent
	for i := range n {
		events[0][i], events[1][i] = set(container(i, 1)), set(container(i, 2))
	}
	same := make([][]workloadmeta.CollectorEvent, n)
	round := 0
	notify := func(i int) { must(s.Notify(events[(round+i/n)%2][i%n])) }
	changed := func(subscribers int) float64 {
		stop := subscribe(s, subscribers)
		defer stop()
		time.Sleep(10 * time.Millisecond) // the snapshots are another row
		return best(5, func() float64 {
			round++
			return nsPer(50*n, notify)
		})[0]
	}
	alone, one, ten := changed(0), changed(1), changed(10)
	for i := range n {
		e, err := s.Get(container(i, 0).EntityID)
		must(err)
		same[i] = set(container(i, e.(*workloadmeta.Container).RestartCount))
	}
	unchanged := func(i int) { must(s.Notify(same[i%n])) }
	quiet := best(5, func() float64 { return nsPer(50*n, unchanged) })[0]

	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: map[string]*memdb.TableSchema{"containers": {
		Name: "containers",
		Indexes: map[string]*memdb.IndexSchema{
			"id": {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "ID"}}},
	}}})
	must(err)
	type flat struct{ ID string }
	radix := best(3, func() float64 {
		return nsPer(5*n, func(i int) {
			txn := db.Txn(true)
			must(txn.Insert("containers", &flat{events[0][i%n][0].Entity.GetID().ID}))
			txn.Commit()
		})
	})[0]
	return []row{
		plain("store: Notify of one changed container, no subscriber", alone/1000, "µs"),
		bounded("store: Notify of one changed container, 1 subscriber", one/1000, "µs", 1.2),
		bounded("store: Notify of one changed container, 10 subscribers", ten/1000, "µs", 2.5),
		bounded("store: Notify of an unchanged container", quiet, "ns", 300),
		bounded("store: Notify of an unchanged container, allocations", allocsPer(10*n, unchanged),
			"allocs", 0),
		compared("go-memdb, one insert per transaction", radix/1000, "µs", alone/1000,
			"Notify, no subscriber"),
	}
}

// storeQueries compares the typed getters with a bare map from ID to entity.
func storeQueries() []row {
	const n, queries = 10_000, 20_000
	s := store.New(store.Options{})
	containers := make(map[string]*workloadmeta.Container, n)
	pods := make(map[string]*workloadmeta.KubernetesPod, n)
	uid := func(i int) string {
		return fmt.Sprintf("%08x-0000-4000-8000-%012x", i*104729, i*7919)
	}
	for i := range n {
		c := container(i, 0)
		containers[c.ID] = c
		p := &workloadmeta.KubernetesPod{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindKubernetesPod, ID: uid(i)}}
		pods[p.ID] = p
		must(s.Notify(append(set(c), set(p)...)))
	}
	ids, uids := make([]string, n), make([]string, n)
	for i := range n { // not beside the keys: see fillBeside
		ids[i], uids[i] = containerID(i), uid(i)
	}
	shuffle(ids)
	shuffle(uids)
	var c *workloadmeta.Container
	var p *workloadmeta.KubernetesPod
	var e workloadmeta.Entity
	out := best(shortRounds,
		func() float64 { return nsPer(queries, func(i int) { c = containers[ids[i%n]] }) },
		func() float64 { return nsPer(queries, func(i int) { c, _ = s.GetContainer(ids[i%n]) }) },
		func() float64 {
			return nsPer(queries, func(i int) {
				e, _ = s.Get(workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: ids[i%n]})
			})
		},
		func() float64 { return nsPer(queries, func(i int) { p = pods[uids[i%n]] }) },
		func() float64 {
			return nsPer(queries, func(i int) { p, _ = s.GetKubernetesPod(uids[i%n]) })
		},
	)
	_, _, _ = c, p, e
	return []row{
		ratioed("GetContainer, 10k containers and 10k pods", out[1], "ns", out[0], "bare map", 1.3),
		ratioed("Get of a container", out[2], "ns", out[0], "bare map", 1.3),
		ratioed("GetKubernetesPod", out[4], "ns", out[3], "bare map", 1.3),
	}
}

// laggingSubscriber compares Notify without a subscriber with Notify beside one that is
// further behind than the events that it is handed one by one.
func laggingSubscriber() []row {
	const n = 1000
	prepare := func(lagging bool) func() float64 {
		s := filledStore(n)
		if lagging {
			s.Subscribe("lags", nil) // and takes nothing
		}
		var events [2][n][]workloadmeta.CollectorEvent
		for i := range n {
			events[0][i], events[1][i] = set(container(i, 1)), set(container(i, 2))
		}
		call := 0
		return func() float64 {
			return nsPer(5*n, func(int) {
				must(s.Notify(events[call/n%2][call%n]))
				call++
			})
		}
	}
	out := best(20, prepare(false), prepare(true))
	return []row{ratioed("store: Notify beside a subscriber that lags", out[1]/1000, "µs",
		out[0]/1000, "no subscriber", 1.4)}
}

// storeMemory counts the entities as part of the store. Once they are as collectors make them:
// containers of one image share what is said of it. Once no two of them share anything.
func storeMemory() []row {
	const n = 100_000
	measure := func(shared bool) float64 {
		return heapOf(func() any {
			s := store.New(store.Options{})
			var image workloadmeta.ContainerImage
			for i := range n {
				c := container(i, 0)
				if shared && c.Image == image {
					c.Image = image
				}
				image = c.Image
				must(s.Notify(set(c)))
			}
			return s
		}) / n / 1000
	}
	return []row{
		bounded("store: memory per container, 100k, 10 of each image", measure(true), "kB", 1.0),
		bounded("store: the same, no image shared", measure(false), "kB", 1.1),
	}
}

// snapshot measures how long a new subscriber of a large store waits for its first
// bundle, and how long that holds a writer up. A writer that is alone is the baseline:
// its longest wait is what the machine does to anybody.
func snapshot() []row {
	const n = 100_000
	s := filledStore(n)
	var events [2][1000][]workloadmeta.CollectorEvent
	for i := range 1000 {
		events[0][i], events[1][i] = set(container(i, 1)), set(container(i, 2))
	}
	var took, blocked []float64
	for range 7 {
		ctx, cancel := context.WithCancel(context.Background())
		var longest time.Duration
		var writer sync.WaitGroup
		running := make(chan struct{})
		writer.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				start := time.Now()
				must(s.Notify(events[i/1000%2][i%1000]))
				longest = max(longest, time.Since(start))
				if i == 100 {
					longest = 0
					close(running)
				}
			}
		})
		<-running
		start := time.Now()
		sub := s.Subscribe("snapshot", nil)
		for b := range sub.Bundles(ctx) {
			if len(b.Events) != n {
				panic(fmt.Sprintf("snapshot of %d, want %d", len(b.Events), n))
			}
			break
		}
		took = append(took, float64(time.Since(start).Microseconds())/1000)
		cancel()
		writer.Wait()
		sub.Close()
		blocked = append(blocked, float64(longest.Nanoseconds())/1e6)
	}
	return []row{
		bounded("snapshot of 100k entities to a new subscriber", slices.Min(took), "ms", 20),
		bounded("longest Notify meanwhile", slices.Min(blocked), "ms", 1),
	}
}

// stalledSubscriber measures the time from Notify to a subscriber, with and without
// another one that never takes anything.
func stalledSubscriber() []row {
	p99 := func(stalled bool) float64 {
		s := filledStore(1000)
		if stalled {
			sub := s.Subscribe("stalled", nil)
			defer sub.Close()
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer cancel()
			wg.Go(func() {
				for range sub.Bundles(ctx) {
					<-ctx.Done()
				}
			})
		}
		const n = 20_000
		sent := make([]time.Time, n)
		waits := make([]float64, 0, n)
		sub := s.Subscribe("prompt", nil)
		defer sub.Close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b := range sub.Bundles(ctx) {
				now := time.Now()
				last := 0
				for _, ev := range b.Events {
					if last = ev.Entity.(*workloadmeta.Container).RestartCount; last > 0 {
						waits = append(waits, float64(now.Sub(sent[last-1]).Nanoseconds())/1000)
					}
				}
				if last == n {
					return // counting would not do: what lags is merged
				}
			}
		}()
		events := make([][]workloadmeta.CollectorEvent, n)
		for i := range n {
			events[i] = set(container(i%1000, i+1))
		}
		for i := range n {
			sent[i] = time.Now()
			must(s.Notify(events[i]))
			for time.Since(sent[i]) < 5*time.Microsecond { // a steady stream, not a burst
			}
		}
		<-done
		slices.Sort(waits)
		return waits[len(waits)*99/100]
	}
	both := best(5, func() float64 { return p99(false) }, func() float64 { return p99(true) })
	return []row{ratioed("p99 from Notify to a subscriber beside a stalled one", both[1], "µs",
		both[0], "no stalled one", 1.5)}
}

func storeFlatness() []row {
	return flatness("store", func(n int) func() float64 {
		s := filledStore(n)
		var events [2][hot][]workloadmeta.CollectorEvent
		for i := range hot {
			events[0][i], events[1][i] = set(container(i, 1)), set(container(i, 2))
		}
		call := 0
		return func() float64 {
			return nsPer(20_000, func(int) {
				must(s.Notify(events[call/hot%2][call%hot]))
				call++
			})
		}
	})
}
