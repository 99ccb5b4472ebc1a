package statebus_test

import (
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

func TestStats(t *testing.T) {
	tb := newTable(statebus.Options{CoalesceAt: 2})
	set(tb, "a", 1)
	second := tb.Subscribe(subOpt{Name: "second", Tier: statebus.Second})
	defer second.Close()
	next(second)
	first := tb.Subscribe(subOpt{Name: "first"})
	next(first)
	for v := range 9 {
		set(tb, "a", v)
	}
	st := tb.Stats()
	if st.Revision != 10 || st.Entries != 1 || len(st.Subscriptions) != 2 {
		t.Fatalf("%+v", st)
	}
	f, s := st.Subscriptions[0], st.Subscriptions[1]
	if f.Name != "first" || f.Tier != statebus.First || s.Name != "second" ||
		s.Tier != statebus.Second {
		t.Errorf("order: %+v", st.Subscriptions)
	}
	if f.Since != 1 || f.Delivered != 1 || f.Acknowledged != 1 || f.Bundles != 1 || f.Events != 1 {
		t.Errorf("first: %+v", f)
	}
	if f.Pending == 0 || f.Pending > 4 || f.Coalesced == 0 {
		t.Errorf("first has not merged: %+v", f)
	}
	for range first.Bundles(t.Context()) {
		f = tb.Stats().Subscriptions[0]
		if f.Pending != 0 || f.Delivered != 10 || f.Acknowledged != 1 {
			t.Errorf("in the body: %+v", f)
		}
		break
	}
	totals := tb.Stats().Totals
	first.Close()
	if got := tb.Stats().Totals; got != totals || got.Bundles != 3 {
		t.Errorf("totals %+v before Close, %+v after", totals, got)
	}
}

func TestTierIsNamed(t *testing.T) {
	if got := statebus.First.String() + " " + statebus.Second.String(); got != "first second" {
		t.Errorf("tiers are named %q", got)
	}
}
