package scripts

import (
	"errors"
	"testing"
	"testing/synctest"
)

// bubble runs functions, one after the other, in a goroutine for which time passes only when one
// of them waits. A script runs outside of it, with files and a clock like any other.
type bubble struct {
	work  chan func(*testing.T) // made outside, so that waiting for work lets no time pass
	ended chan struct{}
}

func newBubble(t *testing.T) *bubble {
	b := &bubble{work: make(chan func(*testing.T)), ended: make(chan struct{})}
	go func() {
		defer close(b.ended)
		synctest.Test(t, func(t *testing.T) {
			for f := range b.work {
				f(t)
			}
		})
	}()
	return b
}

// do runs f in the bubble and waits for it.
func (b *bubble) do(f func(t *testing.T) error) (err error) {
	done := make(chan struct{})
	work := func(t *testing.T) {
		defer close(done)
		err = f(t)
	}
	select {
	case b.work <- work:
	case <-b.ended:
		return errors.New("the engine of the script has ended")
	}
	select {
	case <-done:
		return err
	case <-b.ended:
		return errors.New("the engine of the script has ended")
	}
}

// close ends the bubble and waits until all its goroutines have ended.
func (b *bubble) close() {
	close(b.work)
	<-b.ended
}
