package cri

import (
	"testing"
)

// BenchmarkPull is a pull in steady state. The fake runtime's part is in it.
func BenchmarkPull(b *testing.B) {
	f := newFake()
	for i := range 100 {
		f.add(i, running)
	}
	c := newCollector(b, f.socket(b), nil)
	c.pull()
	for b.Loop() {
		c.clock = c.clock.Add(-5e9) // so that images are not listed
		c.pull()
	}
}

// BenchmarkConnection is what a connection for each pull costs: with a call that is not there
// otherwise.
func BenchmarkConnection(b *testing.B) {
	f := newFake()
	c := newCollector(b, f.socket(b), nil)
	kept, err := c.newClient(c.opts.Socket)
	if err != nil {
		b.Fatal(err)
	}
	defer kept.close()
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			if _, err := kept.version(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			r, err := c.newClient(c.opts.Socket)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := r.version(b.Context()); err != nil {
				b.Fatal(err)
			}
			r.close()
		}
	})
}
