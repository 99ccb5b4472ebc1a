package podman

import "github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/internal/follow"

// Stats counts what has been done for one socket since it was found, over all connections.
type Stats = follow.Stats

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
	Reason  string // why it is not live
	Version string // of Podman, once it has answered
	Stats   Stats
}

// Sockets returns the sockets that are followed, in the order in which they were found. The caller owns the result.
func (c *Collector) Sockets() []SocketStatus {
	c.mu.Lock()
	sockets := c.sockets
	out := make([]SocketStatus, len(sockets))
	for i, s := range sockets {
		out[i] = SocketStatus{Address: s.address.String(), State: s.state, Reason: s.reason, Version: s.version}
	}
	c.mu.Unlock()
	for i, s := range sockets {
		out[i].Stats = s.follower.Stats()
	}
	return out
}
