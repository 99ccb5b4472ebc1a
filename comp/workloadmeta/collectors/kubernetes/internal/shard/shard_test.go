package shard_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/shard"
)

func names(prefix string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%d", prefix, i))
	}
	return out
}

// The nodes are divided evenly, and who comes or goes moves those alone that become or were its
// own.
func TestMovesAreMinimal(t *testing.T) {
	nodes := names("ip-10-0-0", 3000)
	owners := func(members []string) map[string]string {
		out := map[string]string{}
		for _, n := range nodes {
			out[n] = shard.Owner(n, members)
		}
		return out
	}
	before := owners(names("rollcall-cluster", 3))
	count := map[string]int{}
	for _, owner := range before {
		count[owner]++
	}
	for owner, n := range count {
		if n < 900 || n > 1100 {
			t.Errorf("%s has %d of %d nodes, of which three have a third each", owner, n,
				len(nodes))
		}
	}
	moved := 0
	for node, owner := range owners(names("rollcall-cluster", 4)) {
		if owner == before[node] {
			continue
		}
		moved++
		if owner != "rollcall-cluster-3" {
			t.Errorf("%s moves from %s to %s, when another comes", node, before[node], owner)
		}
	}
	if moved < 650 || moved > 850 {
		t.Errorf("%d of %d nodes move to the fourth", moved, len(nodes))
	}
	if got := shard.Owner("n", nil); got != "" {
		t.Errorf("without members %q is the owner", got)
	}
	if shard.View([]string{"a", "b"}) != shard.View([]string{"b", "a"}) ||
		shard.View([]string{"a", "b"}) == shard.View([]string{"ab"}) {
		t.Error("a view is not one of a set")
	}
}

// cluster is a model of replicas that see each other's announcements.
type cluster struct {
	now      time.Time
	nodes    map[string]bool
	replicas map[string]*replica
	written  map[string]string // the announcements, by replica
}

type replica struct {
	*shard.Assignment
	follows map[string]bool // whether it is synced
	seen    map[string]string
	turn    shard.Turn
	stage   int // of a turn: 0 read, 1 decide and follow, 2 announce, 3 leave
}

func newCluster() *cluster {
	return &cluster{now: time.Unix(1_800_000_000, 0), nodes: map[string]bool{},
		replicas: map[string]*replica{}, written: map[string]string{}}
}

func (c *cluster) join(name string) {
	c.replicas[name] = &replica{Assignment: &shard.Assignment{Self: name, Limit: 2 * time.Minute},
		follows: map[string]bool{}}
	c.written[name] = ""
}

// step lets a replica do the next part of its turn.
func (c *cluster) step(name string) {
	r := c.replicas[name]
	switch r.stage {
	case 0:
		r.seen = maps.Clone(c.written)
	case 1:
		r.turn = r.Next(c.now, c.nodes, r.seen, func(n string) bool { return r.follows[n] })
		for _, n := range r.turn.Follow {
			r.follows[n] = false
		}
	case 2:
		c.written[name] = r.turn.Announce
	case 3:
		for _, n := range r.turn.Leave {
			delete(r.follows, n)
		}
		r.Left(r.turn.Leave)
	}
	r.stage = (r.stage + 1) % 4
}

func (c *cluster) sync(name string) {
	for n := range c.replicas[name].follows {
		c.replicas[name].follows[n] = true
	}
}

// settle lets everybody do some whole turns.
func (c *cluster) settle() {
	for range 5 {
		for _, name := range slices.Sorted(maps.Keys(c.replicas)) {
			for range 4 {
				c.step(name)
			}
			c.sync(name)
		}
		c.now = c.now.Add(10 * time.Second)
	}
}

// by returns who has synced a node, and who follows it.
func (c *cluster) by(node string) (synced, following []string) {
	for _, name := range slices.Sorted(maps.Keys(c.replicas)) {
		if done, ok := c.replicas[name].follows[node]; ok {
			following = append(following, name)
			if done {
				synced = append(synced, name)
			}
		}
	}
	return synced, following
}

// Whatever comes, goes, dies and is late, in whatever order: when it is quiet, each node is
// followed by its owner alone.
func TestInTheEndEachNodeHasOneOwner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster()
		any := func(m []string) string { return rapid.SampledFrom(m).Draw(t, "who") }
		all := names("r", 5)
		machines := names("node", 12)
		steps := rapid.IntRange(1, 200).Draw(t, "steps")
		for range steps {
			there := slices.Sorted(maps.Keys(c.replicas))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				if name := any(all); c.replicas[name] == nil {
					c.join(name)
				}
			case 1: // leaves, and takes its lease along
				if len(there) > 1 {
					name := any(there)
					delete(c.replicas, name)
					delete(c.written, name)
				}
			case 2: // is killed, and starts again as the same
				if len(there) > 0 {
					c.join(any(there))
				}
			case 3: // its lease expires for all who look, though it lives
				if len(there) > 0 {
					delete(c.written, any(there))
				}
			case 4:
				n := any(machines)
				if c.nodes[n] {
					delete(c.nodes, n)
				} else {
					c.nodes[n] = true
				}
			case 5:
				c.now = c.now.Add(
					time.Duration(rapid.IntRange(-300, 300).Draw(t, "s")) * time.Second)
			case 6:
				if len(there) > 0 {
					c.sync(any(there))
				}
			default:
				if len(there) > 0 {
					c.step(any(there))
				}
			}
		}
		if len(c.replicas) == 0 {
			c.join(all[0])
		}
		c.settle()
		members := slices.Sorted(maps.Keys(c.replicas))
		for n := range c.nodes {
			synced, following := c.by(n)
			if want := []string{shard.Owner(n, members)}; !slices.Equal(synced, want) ||
				!slices.Equal(following, want) {
				t.Errorf("%s is synced by %q, followed by %q; it belongs to %q", n, synced,
					following, want)
			}
		}
		for name, r := range c.replicas {
			if len(r.follows) > 0 {
				all, others := r.Following()
				if all != len(r.follows) || others != 0 {
					t.Errorf("%s follows %d, counts %d, of which others' %d", name, len(r.follows),
						all, others)
				}
			}
			for n := range r.follows {
				if !c.nodes[n] {
					t.Errorf("%s follows %s, which is gone", name, n)
				}
			}
		}
	})
}

// While one replica joins or leaves in an orderly way, every node is synced by somebody at each
// moment, in whatever order turns are taken, unless a new owner takes longer than there is time.
func TestHandOverWithoutAGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster()
		for _, n := range names("node", 12) {
			c.nodes[n] = true
		}
		first := names("r", rapid.IntRange(1, 4).Draw(t, "replicas"))
		for _, name := range first {
			c.join(name)
		}
		c.settle()
		c.join("new")
		if rapid.Bool().Draw(t, "goes") {
			// One that is to go is not counted any more, and goes on until nothing is left.
			c.settle()
			delete(c.written, "r-0")
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			there := slices.Sorted(maps.Keys(c.replicas))
			name := rapid.SampledFrom(there).Draw(t, "who")
			if rapid.IntRange(0, 5).Draw(t, "sync") == 0 {
				c.sync(name)
			} else if _, counted := c.written[name]; counted || c.replicas[name].stage != 2 {
				c.step(name)
			} else {
				c.replicas[name].stage = 3 // it does not come back by announcing itself
			}
			c.now = c.now.Add(time.Second)
			for n := range c.nodes {
				if synced, _ := c.by(n); len(synced) == 0 {
					t.Fatalf("nobody has %s: %+v", n, c.written)
				}
			}
		}
	})
}

// An owner that never syncs keeps a node from being left for a limited time only.
func TestTheWaitForANewOwnerIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := &shard.Assignment{Self: "a", Limit: time.Minute}
	nodes := map[string]bool{}
	for _, n := range names("node", 20) {
		nodes[n] = true
	}
	done := func(string) bool { return true }
	if got := a.Next(now, nodes, map[string]string{"a": ""}, done); len(got.Follow) != 20 ||
		got.Announce != "" {
		t.Fatalf("the first turn is %+v", got)
	}
	stuck := map[string]string{"a": "", "b": "of another view"}
	for _, tc := range []struct {
		after time.Duration
		leave bool
	}{{0, false}, {59 * time.Second, false}, {time.Minute, true}} {
		got := a.Next(now.Add(tc.after), nodes, stuck, done)
		if (len(got.Leave) > 0) != tc.leave || len(got.Follow) > 0 ||
			got.Announce != shard.View([]string{"a", "b"}) {
			t.Errorf("after %s: %+v", tc.after, got)
		}
		for _, n := range got.Leave {
			if shard.Owner(n, []string{"a", "b"}) != "b" {
				t.Errorf("it leaves %s, which is its own", n)
			}
		}
	}
}
