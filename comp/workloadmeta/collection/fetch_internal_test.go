package collection

import (
	"strconv"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// What is remembered of look-ups has a bound, and what has expired goes.
func TestMissesAreBounded(t *testing.T) {
	var f fetches
	f.init(nil)
	id := func(i int) workloadmeta.EntityID {
		return workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: strconv.Itoa(i)}
	}
	later := miss{until: time.Now().Add(time.Hour)}
	for i := range maxMisses {
		f.remember(id(i), later)
	}
	if _, ok := f.misses[id(0)]; !ok || len(f.misses) != maxMisses {
		t.Errorf("%d of %d are remembered", len(f.misses), maxMisses)
	}
	f.remember(id(maxMisses), later)
	if _, ok := f.misses[id(0)]; ok || len(f.misses) != maxMisses || len(f.oldest) != maxMisses {
		t.Errorf("%d are remembered, the oldest among them: %v", len(f.misses), ok)
	}
	for i := range f.misses {
		f.misses[i] = miss{until: time.Now().Add(-time.Hour)}
	}
	f.remember(id(-1), miss{until: time.Now().Add(-time.Hour)})
	if len(f.misses) != 0 || len(f.oldest) != 0 {
		t.Errorf("%d are remembered and have expired", len(f.misses))
	}
}
