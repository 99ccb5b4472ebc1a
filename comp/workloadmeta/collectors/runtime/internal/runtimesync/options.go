package runtimesync

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Tuning changes how a runtime is followed. The zero value is useful.
type Tuning struct {
	Workers      int           // inspections at the same time; default 4
	InspectRate  float64       // inspections a second, once synced; default 50
	InspectBurst int           // how many of them may come together; default 100
	CallTimeout  time.Duration // of every request but the event stream; default 5s
	Coalesce     time.Duration // least time between two inspections of one object; default 100ms
	InitialWait  time.Duration // how long the first inspections may hold back Synced; default 2s
	ResyncEvery  time.Duration // between comparisons with the runtime's lists; default 5min
	// SettleResync is when the first comparison happens after connecting, because a runtime may
	// begin to send events a little after it has accepted the subscription; default 10s.
	SettleResync time.Duration
	// PingEvery is how long the runtime may be silent before it is asked whether it is still there;
	// default 15s. A connection on which it does not answer within CallTimeout is given up.
	PingEvery time.Duration
	RingSize  int // events that wait to be handled; default and least 4096
}

const minRing = 4096

// WithDefaults fills in what is not set and refuses what makes no sense. who begins the error.
func (t Tuning) WithDefaults(who string) (Tuning, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"CallTimeout", &t.CallTimeout, 5 * time.Second},
		{"Coalesce", &t.Coalesce, 100 * time.Millisecond},
		{"InitialWait", &t.InitialWait, 2 * time.Second},
		{"ResyncEvery", &t.ResyncEvery, 5 * time.Minute},
		{"SettleResync", &t.SettleResync, 10 * time.Second},
		{"PingEvery", &t.PingEvery, 15 * time.Second},
	} {
		if *d.value < 0 {
			return t, fmt.Errorf("%s: option %s is negative: %v", who, d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if t.Workers < 0 || t.InspectRate < 0 || t.InspectBurst < 0 || t.RingSize < 0 {
		return t, fmt.Errorf(
			"%s: Workers, InspectRate, InspectBurst and RingSize must not be negative", who)
	}
	if t.Workers == 0 {
		t.Workers = 4
	}
	if t.InspectRate == 0 {
		t.InspectRate = 50
	}
	if t.InspectBurst == 0 {
		t.InspectBurst = 100
	}
	t.RingSize = max(t.RingSize, minRing)
	return t, nil
}

// Options make a [Syncer]. Tuning has its defaults filled in.
type Options struct {
	Tuning
	// Name is the collector's, for the log and for errors.
	Name   string
	Source workloadmeta.Source
	// NoImages leaves images out. They are still asked for what containers need to know of them.
	NoImages bool
	// KeepPause reports the pause containers of pods as well.
	KeepPause bool
	// KeepStopped keeps containers that do not run until they are removed.
	KeepStopped bool
	// SameAsListed reports whether a list's view of a container, which is not Complete, tells
	// nothing new about a known one.
	SameAsListed func(known, listed *workloadmeta.Container) bool
	// Overlay returns what is known of a container, brought up to date with a list's view that is
	// not Complete.
	Overlay func(known, listed *workloadmeta.Container) *workloadmeta.Container
	Log     *slog.Logger
}
