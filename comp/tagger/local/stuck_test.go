package local_test

import (
	"context"
	"iter"

	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// stuckStore has subscriptions that end only when stuck is closed.
type stuckStore struct {
	*store.Store
	stuck chan struct{}
}

func (s stuckStore) Subscribe(string, *wm.Filter, ...wm.SubscribeOption) wm.Subscription {
	return stuckSubscription(s)
}

type stuckSubscription struct {
	*store.Store
	stuck chan struct{}
}

func (s stuckSubscription) Bundles(context.Context) iter.Seq[wm.Bundle] {
	return func(func(wm.Bundle) bool) { <-s.stuck }
}

func (stuckSubscription) Close() {}
