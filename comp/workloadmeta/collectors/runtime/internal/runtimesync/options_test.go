package runtimesync

import (
	"strings"
	"testing"
	"time"
)

func TestTuningHasDefaultsAndRefusesNonsense(t *testing.T) {
	got, err := Tuning{}.WithDefaults("docker")
	if err != nil {
		t.Fatal(err)
	}
	defaults := Tuning{Workers: 4, InspectRate: 50, InspectBurst: 100, CallTimeout: 5 * time.Second,
		Coalesce: 100 * time.Millisecond, InitialWait: 2 * time.Second,
		ResyncEvery:  5 * time.Minute,
		SettleResync: 10 * time.Second, PingEvery: 15 * time.Second, RingSize: minRing}
	if got != defaults {
		t.Errorf("defaults = %+v", got)
	}
	set := Tuning{Workers: 1, InspectRate: 1, InspectBurst: 1, CallTimeout: 1, Coalesce: 1,
		InitialWait: 1, ResyncEvery: 1, SettleResync: 1, PingEvery: 1, RingSize: minRing + 1}
	if got, err := set.WithDefaults("docker"); got != set || err != nil {
		t.Errorf("%+v became %+v, %v", set, got, err)
	}
	for _, bad := range []Tuning{
		{Workers: -1}, {InspectRate: -1}, {InspectBurst: -1}, {CallTimeout: -1}, {Coalesce: -1},
		{InitialWait: -1}, {ResyncEvery: -1}, {SettleResync: -1}, {PingEvery: -1}, {RingSize: -1},
	} {
		if _, err := bad.WithDefaults("docker"); err == nil ||
			!strings.Contains(err.Error(), "docker: ") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
