package docker

import (
	"context"
	"net"
)

// SetDecode replaces the reading of events; f gets the one that is replaced.
func SetDecode(c *Collector, f func(line []byte, next func([]byte) error) error) {
	next := c.decode
	c.decode = func(line []byte) (m *message, err error) {
		err = f(line, func(line []byte) error {
			m, err = next(line)
			return err
		})
		return m, err
	}
}

// SetSockets replaces the default sockets.
func SetSockets(c *Collector, paths ...string) { c.host, c.sockets = "", paths }

// SetDial replaces the way to the daemon.
func SetDial(c *Collector, dial func(ctx context.Context, network, address string) (net.Conn,
	error)) {
	c.opts.Dial = dial
}
