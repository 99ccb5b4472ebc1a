package statebus_test

import (
	"fmt"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// The table itself.

func TestUpdate(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	next(s)
	rev := tb.Update(func(tx *tx) {
		if _, ok := tx.Get("a"); ok {
			t.Error("a is there")
		}
		tx.Set("a", 1)
		v, _ := tx.Get("a")
		tx.Set("a", v+1)
		tx.Set("b", 1)
		if tx.Delete("c", 0) || !tx.Delete("b", 9) {
			t.Error("Delete reports wrongly")
		}
		if tx.Revision() != 1 {
			t.Error("revision", tx.Revision())
		}
	})
	if v, ok := tb.Get("a"); rev != 1 || v != 2 || !ok || tb.Len() != 1 {
		t.Errorf("revision %d, a=%d", rev, v)
	}
	expect(t, next(s), "1: +a=1@1 +a=2@1 +b=1@1 -b=9@1")
	if rev := tb.Update(func(tx *tx) { tx.Get("a"); tx.Delete("b", 1) }); rev != 1 {
		t.Errorf("revision %d without a change", rev)
	}
	if rev := unset(tb, "b", 1); rev != 1 {
		t.Errorf("revision %d without a change", rev)
	}
}

func TestPanickingUpdateKeepsTableAndSubscribersAlike(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	next(s)
	func() {
		defer func() { recover() }()
		tb.Update(func(tx *tx) { tx.Set("a", 1); panic("no") })
	}()
	if v, _ := tb.Get("a"); v != 1 || tb.Revision() != 1 {
		t.Errorf("a=%d at %d", v, tb.Revision())
	}
	set(tb, "b", 1)
	expect(t, next(s), "2: +a=1@1 +b=1@2")
}

func TestTxOutsideItsUpdatePanics(t *testing.T) {
	tb := newTable(statebus.Options{})
	var leaked *tx
	tb.Update(func(tx *tx) { leaked = tx })
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	leaked.Set("a", 1)
}

func TestAll(t *testing.T) {
	tb := newTable(statebus.Options{})
	want := 0
	for i := range 100 {
		set(tb, fmt.Sprint(i), i)
		want += i
	}
	sum := 0
	for _, v := range tb.All() {
		sum += v
	}
	if sum != want {
		t.Errorf("sum %d, want %d", sum, want)
	}
	for range tb.All() {
		break
	}
}

func TestUpdateWithoutAChangeAllocatesNothing(t *testing.T) {
	tb := newTable(statebus.Options{})
	set(tb, "a", 1)
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	seen := 0
	if n := testing.AllocsPerRun(100, func() {
		tb.Update(func(tx *tx) {
			v, _ := tx.Get("a")
			seen += v
			tx.Delete("absent", 0)
		})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
