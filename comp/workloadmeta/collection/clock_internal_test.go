package collection

import (
	"testing"
	"time"
	"unsafe"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// Whatever becomes of the wall clock, what nobody can confirm stays for as long as it should.
func TestStepsOfTheWallClockDoNotMatter(t *testing.T) {
	s := store.New(store.Options{})
	defer s.Close()
	begun := time.Now()
	reports := &reportTable{store: s, begun: begun}
	set := reports.open(workloadmeta.Description{ID: "docker", Source: workloadmeta.SourceRuntime})
	c := &workloadmeta.Container{EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer,
		ID: "c1"}}
	event := workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet,
		Source: workloadmeta.SourceRuntime, Entity: c}
	if err := reports.apply(set, []workloadmeta.CollectorEvent{event}); err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	reports.lost(set, stepped(begun, day))
	for _, at := range []struct {
		after, step time.Duration
		gone        int
	}{
		{9 * time.Minute, 2 * day, 0}, {9 * time.Minute, -day, 0},
		{10*time.Minute + time.Second, -day, 1},
	} {
		gone, err := reports.forget(stepped(begun.Add(at.after), at.step), 10*time.Minute, nil)
		if err != nil || len(gone) != at.gone {
			t.Errorf("after %v, the clock stepped by %v: forgotten %+v, %v", at.after, at.step,
				gone, err)
		}
	}
}

// stepped is a time as it would be had the wall clock been set: the monotonic reading is the
// same.
func stepped(at time.Time, by time.Duration) time.Time {
	type clock struct {
		wall uint64
		ext  int64
		loc  *time.Location
	}
	(*clock)(unsafe.Pointer(&at)).wall += uint64(by/time.Second) << 30
	return at
}
