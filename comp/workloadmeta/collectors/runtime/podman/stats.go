package podman

import (
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
)

// Stats counts what has been done for one socket since it was found, over all connections.
type Stats = runtimesync.Stats

// SocketState says how it stands with a socket.
type SocketState string

// Socket states.
const (
	SocketWaiting    SocketState = "waiting"    // nobody answers, or not yet; it is tried again
	SocketConnecting SocketState = "connecting" // the service answers and what it has is being read
	SocketLive       SocketState = "live"
)

// SocketStatus is what is known of one socket.
type SocketStatus struct {
	Address string
	State   SocketState
	Problem workloadmeta.Problem // why it is not live
	Version string               // of Podman, once it has answered
	Stats   Stats
}

// Sockets returns the sockets that are followed, in the order in which they were found. One that
// only DOCKER_HOST names is not among them until a Podman has answered there. The caller owns the
// result.
func (c *Collector) Sockets() []SocketStatus {
	c.mu.Lock()
	sockets := slices.DeleteFunc(slices.Clone(c.sockets),
		func(s *socket) bool { return s.place.any && !c.answered[s.address] })
	out := make([]SocketStatus, len(sockets))
	for i, s := range sockets {
		out[i] = SocketStatus{Address: s.address.String(), State: s.state, Problem: s.why,
			Version: s.version}
	}
	c.mu.Unlock()
	for i, s := range sockets {
		out[i].Stats = s.follower.Stats()
	}
	return out
}

var _ collection.PartReporter = (*Collector)(nil)

// Parts implements [collection.PartReporter]: a part is a socket, or an address that somebody has
// named and at which there is none.
func (c *Collector) Parts() []collection.Part {
	var parts []collection.Part
	for _, s := range c.Sockets() {
		p := collection.Part{Name: s.Address, State: collection.State(s.State), Problem: s.Problem}
		if s.Problem.Reason == "" && s.Version != "" {
			p.Reason = "podman " + s.Version
		}
		parts = append(parts, p)
	}
	c.mu.Lock()
	unusable := c.unusable
	c.mu.Unlock()
	for _, p := range unusable {
		if !slices.ContainsFunc(parts, func(o collection.Part) bool { return o.Name == p.Name }) {
			parts = append(parts, p)
		}
	}
	return parts
}
