// Package e2e tests collectors, store and tagger together on real daemons. See package realnode for
// what that needs.
package e2e

import (
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/test/realnode"
	"go.uber.org/goleak"
)

// node has the daemons that tests share. A test that kills or freezes one starts its own.
var node realnode.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(node.Around(m)) }

// patience is how long something is waited for that takes a moment: long enough for a machine that
// has much else to do.
const patience = time.Minute

// eventually waits until check returns "", and fails the test with its last answer if that takes
// too long: what a real daemon does can only be waited for.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	eventuallyIn(t, patience, check)
}

// eventuallyIn is eventually for what takes its time.
func eventuallyIn(t *testing.T, patience time.Duration, check func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		problem := check()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, problem)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
