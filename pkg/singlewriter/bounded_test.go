package singlewriter

import (
	"fmt"
	"testing"
)

// No write does more than a bounded amount of work: it makes at most two shards of bounded size,
// however many keys there are.
func TestWorkOfAWriteIsBounded(t *testing.T) {
	m := New[string, *int]()
	v := new(int)
	rebuilds := 0
	check := func(write func()) {
		before := m.dir.Load()
		write()
		after := m.dir.Load()
		if before == after {
			return
		}
		rebuilds++
		old := map[*shard[string, *int]]bool{}
		for _, s := range before.shards {
			old[s] = true
		}
		made := map[*shard[string, *int]]bool{}
		for _, s := range after.shards {
			if !old[s] {
				made[s] = true
			}
		}
		slots := 0
		for s := range made {
			slots += len(s.slots)
		}
		if len(made) > 2 || slots > 2*maxSlots {
			t.Fatalf("with %d keys, one write made %d shards with %d slots", m.Len(), len(made),
				slots)
		}
	}
	const n = 200_000
	for i := range n {
		check(func() { m.Set(fmt.Sprint(i), v, 1) })
	}
	for i := range n {
		check(func() { m.Delete(fmt.Sprint(i)) })
	}
	if rebuilds < n/maxSlots {
		t.Errorf("%d rebuilds: nothing was tested", rebuilds)
	}
}
