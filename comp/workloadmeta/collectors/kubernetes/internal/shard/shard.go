// Package shard divides the nodes of a cluster between the replicas of an agent.
//
// A node belongs to the replica with the greatest hash of both names (rendezvous hashing): replicas
// that see the same replicas agree without a word, and one that comes or goes moves only the nodes
// that become or were its own.
//
// A node changes hands without a gap. Each replica announces, beside being there, of which set of
// replicas it has synced all of its nodes. Who loses a node goes on following it until the new
// owner has announced the set that both see, or for a limited time. So a node may be followed by
// two for a while, and by nobody only after the replica that had it has died.
//
// There is no I/O here and no clock.
package shard

import (
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// Owner returns the member that a node belongs to; "" if there are no members.
func Owner(node string, members []string) string {
	owner, most := "", uint64(0)
	for _, m := range members {
		if w := weight(node, m); owner == "" || w > most || w == most && m > owner {
			owner, most = m, w
		}
	}
	return owner
}

// weight is a hash whose every bit depends on every byte. FNV alone ranks members alike for all
// nodes whose names differ in their last letters.
func weight(node, member string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(member + "\x00" + node))
	w := h.Sum64()
	w = (w ^ w>>33) * 0xff51afd7ed558ccd
	w = (w ^ w>>33) * 0xc4ceb9fe1a85ec53
	return w ^ w>>33
}

// View returns a short name of a set of members, whatever their order.
func View(members []string) string {
	h := fnv.New64a()
	for _, m := range slices.Sorted(slices.Values(members)) {
		h.Write([]byte(m + "\x00"))
	}
	return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, h.Sum64()))
}

// Assignment is what one replica follows. The zero value but for its first fields follows nothing.
type Assignment struct {
	Self string
	// Limit is for how long a node is followed at most that belongs to another.
	Limit time.Duration

	// following has what is followed, and since when it belongs to another: zero if it does not.
	following map[string]time.Time
}

// Turn is what a replica is to do. First it follows what it should. Then it announces, where all
// can read it; only when that is done it leaves what it should, because who has read an older
// announcement counts on what that said.
type Turn struct {
	Follow, Leave []string
	Announce      string // the view of which all nodes are synced; "" = they are not
}

// Next returns the next turn: nodes are those that there are, members the replicas that are alive,
// this one among them, with what each has announced. synced reports whether all of a node that is
// followed has been told.
func (a *Assignment) Next(now time.Time, nodes map[string]bool, members map[string]string,
	synced func(node string) bool) (t Turn) {
	if a.following == nil {
		a.following = map[string]time.Time{}
	}
	names := slices.Collect(maps.Keys(members))
	view := View(names)
	t.Announce = view
	for node := range nodes {
		since, followed := a.following[node]
		owner := Owner(node, names)
		switch {
		case owner == a.Self && !followed:
			t.Follow = append(t.Follow, node)
			a.following[node] = time.Time{}
			t.Announce = ""
		case owner == a.Self:
			a.following[node] = time.Time{}
			if !synced(node) {
				t.Announce = ""
			}
		case !followed:
		case members[owner] == view || !since.IsZero() && now.Sub(since) >= a.Limit:
			t.Leave = append(t.Leave, node)
		case since.IsZero():
			a.following[node] = now
		}
	}
	for node := range a.following {
		if !nodes[node] {
			t.Leave = append(t.Leave, node)
		}
	}
	slices.Sort(t.Follow)
	slices.Sort(t.Leave)
	return t
}

// Left says that nodes are no longer followed.
func (a *Assignment) Left(nodes []string) {
	for _, node := range nodes {
		delete(a.following, node)
	}
}

// Following returns how many nodes are followed, and how many of them belong to another.
func (a *Assignment) Following() (all, others int) {
	for _, since := range a.following {
		if !since.IsZero() {
			others++
		}
	}
	return len(a.following), others
}
