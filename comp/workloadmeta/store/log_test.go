package store_test

import (
	"context"
	"fmt"
	"testing"

	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// The log keeps no more changes than it may, however many are made as one.
func TestTheLogIsBoundedWhateverTheSizeOfACommit(t *testing.T) {
	s := store.New(store.Options{Bus: statebus.Options{LogChanges: 5}})
	defer s.Close()
	var at wm.Position
	for i := range 20 {
		var events []wm.CollectorEvent
		for j := range 6 {
			events = append(events, wm.Set(&wm.Container{EntityID: wm.EntityID{
				Kind: wm.KindContainer, ID: fmt.Sprint(i, j)}}))
		}
		at = wm.Position{Epoch: s.Epoch(), Revision: s.Revision()}
		if err := s.Push(wm.SourceRuntime, events...); err != nil {
			t.Fatal(err)
		}
	}
	sub := s.Subscribe("late", nil, wm.Since(at))
	defer sub.Close()
	for b := range sub.Bundles(context.Background()) {
		if !b.Snapshot {
			t.Errorf("a log of 5 changes has %d", len(b.Events))
		}
		break
	}
}
