package statebus_test

import (
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// New tells a subscriber what it has not heard of, also where the filter, not the
// table, is the reason.
func TestNewMarksWhatTheViewDidNotHold(t *testing.T) {
	table := statebus.New[string, int](statebus.Options{})
	set := func(k string, v int) { table.Commit(statebus.Change[string, int]{Key: k, Value: v}) }
	set("a", 1)
	sub := table.Subscribe(
		statebus.SubOptions[string, int]{Match: func(_ string, v int) bool { return v > 0 }})
	set("a", 2)
	set("b", 1)
	set("b", 2)
	set("a", -1)
	set("a", 3)
	table.Commit(statebus.Change[string, int]{Key: "b", Delete: true})
	set("b", 4)

	var got []statebus.Event[string, int]
	for b := range sub.Bundles(t.Context()) {
		got = append(got, b.Events...)
		if len(got) == 8 {
			break
		}
	}
	want := []struct {
		typ statebus.EventType
		key string
		new bool
	}{
		{statebus.Set, "a", true}, // the snapshot
		{statebus.Set, "a", false},
		{statebus.Set, "b", true},
		{statebus.Set, "b", false},
		{statebus.Unset, "a", false}, // left the view
		{statebus.Set, "a", true},
		{statebus.Unset, "b", false},
		{statebus.Set, "b", true},
	}
	if len(got) != len(want) {
		t.Fatalf("got %d events, want %d", len(got), len(want))
	}
	for i, w := range want {
		if got[i].Type != w.typ || got[i].Key != w.key || got[i].New != w.new {
			t.Errorf("event %d is %s %s new=%v, want %+v", i, got[i].Type, got[i].Key, got[i].New,
				w)
		}
	}
}
