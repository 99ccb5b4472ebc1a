package collection

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Store is what the supervisor needs of the store. Like [workloadmeta.Writer], none of
// its methods may wait for a subscriber or call back into the supervisor.
type Store interface {
	workloadmeta.Writer
	// Reports returns what each reporter says of an entity.
	Reports(id workloadmeta.EntityID) ([]workloadmeta.Report, error)
	// Expect says which sources must report an entity of the kind for it to be complete.
	// It replaces what was said before.
	Expect(kind workloadmeta.Kind, sources []workloadmeta.Source)
	// MarkSynced says that what can be known at the start is known.
	MarkSynced()
}

// PartReporter is implemented by collectors with parts that fail by themselves while the collector
// as a whole is live, such as the events of a daemon that only answers questions, or a better way
// to ask beside the one that is used. What can be detected and tried again by itself is no part
// but an instance: see [workloadmeta.Discoverer].
type PartReporter interface {
	// Parts returns how each part is doing. It must not wait. The caller owns the result.
	Parts() []Part
}

// Part is how a part of a collector is doing.
type Part struct {
	Name  string `json:"name"` // such as "events"
	State State  `json:"state"`
	// Kind of the entities that only this part tells of, 0 if there are none. Of metadata of
	// Kubernetes objects, Name is the resource.
	Kind workloadmeta.Kind `json:"kind,omitempty"`
	workloadmeta.Problem
}

// Switch says whether a collector may run.
type Switch uint8

// The switches.
const (
	Auto Switch = iota // run if there is something to collect
	// run even if detection finds nothing, so that its absence shows as a failure
	On
	Off // never run
)

// String returns "auto", "on" or "off".
func (s Switch) String() string {
	switch s {
	case Auto:
		return "auto"
	case On:
		return "on"
	case Off:
		return "off"
	}
	return fmt.Sprintf("switch %d", uint8(s))
}

// MarshalText implements [encoding.TextMarshaler].
func (s Switch) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It also takes what YAML makes of
// on and off.
func (s *Switch) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "auto", "":
		*s = Auto
	case "on", "true":
		*s = On
	case "off", "false":
		*s = Off
	default:
		return fmt.Errorf("unknown switch %q (want auto, on or off)", text)
	}
	return nil
}

// Options configure a [Supervisor]. Everything but Store has a default; a negative
// duration or rate is an error.
type Options struct {
	// Store takes what the collectors report. Required.
	Store Store
	// Collectors are run. None is a valid number.
	Collectors []workloadmeta.Collector
	// Log gets a line for each change of a collector's state. Default: nothing is logged.
	Log *slog.Logger

	// Enabled switches collectors by ID. Default for each: [Auto]. An ID that no
	// collector has is an error.
	Enabled map[string]Switch

	// PullPeriod is the time from the start of one pull to the start of the next, ±10 %.
	// Default: 5 s.
	PullPeriod time.Duration
	// Periods override PullPeriod, and what collectors suggest, by collector ID.
	Periods map[string]time.Duration
	// PullTimeout is the deadline of one pull. Default: 1 min.
	PullTimeout time.Duration

	// RedetectEvery is how often a collector with nothing to collect is asked again.
	// Default: 15 s.
	RedetectEvery time.Duration
	// DetectTimeout is the deadline of one detection. Default: 5 s.
	DetectTimeout time.Duration
	// SyncGrace is how long after the start the store counts as synced even if some
	// collector has neither listed nor failed. Default: 10 s.
	SyncGrace time.Duration

	// BackoffMin and BackoffMax bound the pause before a failed stream is tried again.
	// The pause doubles with each failure; a stream that was synced and lived longer than
	// BackoffMax starts over. Defaults: 250 ms and 30 s.
	BackoffMin, BackoffMax time.Duration

	// ForgetAfter is how long an entity stays that no live reporter confirms, because its
	// collector has lost its daemon. A container whose process has ended goes at once.
	// Default: 10 min.
	ForgetAfter time.Duration

	// FetchTimeout is the deadline of one look-up at a source, whatever its callers'
	// deadlines. Default: 10 s.
	FetchTimeout time.Duration
	// FetchNegativeTTL is how long "nobody knows it" is remembered. Default: 10 s.
	FetchNegativeTTL time.Duration
	// FetchRate and FetchBurst limit the look-ups at each collector, per second.
	// Defaults: 10 and 20.
	FetchRate  float64
	FetchBurst int
	// FetchRefresh is how often entities of a collector that can do nothing but fetch
	// are looked up again, so that those that are gone go from the store. Default: 1 min.
	FetchRefresh time.Duration
}

// withDefaults returns the options with every zero replaced by its default.
func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.PullPeriod, 5 * time.Second},
		{&o.PullTimeout, time.Minute},
		{&o.RedetectEvery, 15 * time.Second},
		{&o.DetectTimeout, 5 * time.Second},
		{&o.SyncGrace, 10 * time.Second},
		{&o.ForgetAfter, 10 * time.Minute},
		{&o.BackoffMin, 250 * time.Millisecond},
		{&o.BackoffMax, 30 * time.Second},
		{&o.FetchTimeout, 10 * time.Second},
		{&o.FetchNegativeTTL, 10 * time.Second},
		{&o.FetchRefresh, time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if o.FetchRate == 0 {
		o.FetchRate = 10
	}
	if o.FetchBurst == 0 {
		o.FetchBurst = 20
	}
	o.BackoffMax = max(o.BackoffMax, o.BackoffMin)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate returns every mistake in the options, each named.
func (o Options) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("collection: "+format, args...))
	}
	if o.Store == nil {
		bad("Options.Store is missing")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"PullPeriod", o.PullPeriod}, {"PullTimeout", o.PullTimeout}, {"RedetectEvery",
			o.RedetectEvery},
		{"DetectTimeout", o.DetectTimeout}, {"SyncGrace", o.SyncGrace}, {"BackoffMin",
			o.BackoffMin},
		{"ForgetAfter", o.ForgetAfter}, {"BackoffMax", o.BackoffMax}, {"FetchTimeout",
			o.FetchTimeout}, {"FetchNegativeTTL",
			o.FetchNegativeTTL},
		{"FetchRefresh", o.FetchRefresh},
	} {
		if d.value < 0 {
			bad("Options.%s is %s; it must not be negative", d.name, d.value)
		}
	}
	if o.FetchRate < 0 || o.FetchBurst < 0 {
		bad("Options.FetchRate is %v and FetchBurst %d; they must not be negative", o.FetchRate,
			o.FetchBurst)
	}
	ids := map[string]bool{}
	for i, c := range o.Collectors {
		if c == nil {
			bad("Options.Collectors[%d] is nil", i)
			continue
		}
		d, err := describe(c)
		if err != nil {
			bad("Options.Collectors[%d] (%T): %w", i, c, err)
			continue
		}
		id := d.ID
		for _, kind := range slices.Concat(d.Kinds, d.ByProducts) {
			if !kind.Valid() {
				bad("collector %q (%T) reports a kind that there is not: %s", id, c, kind)
			}
		}
		_, streams := c.(workloadmeta.Streamer)
		_, pulls := c.(workloadmeta.Puller)
		_, fetches := c.(workloadmeta.Fetcher)
		_, discovers := c.(workloadmeta.Discoverer)
		_, idle := c.(*idle)
		switch {
		case id == "":
			bad("Options.Collectors[%d] (%T) has no ID", i, c)
		case ids[id]:
			bad("two collectors have the ID %q", id)
		case !streams && !pulls && !fetches && !discovers && !idle:
			bad("collector %q (%T) implements neither Streamer, Puller, Fetcher nor Discoverer", id,
				c)
		case d.Source == "":
			bad("collector %q (%T) has no source", id, c)
		}
		ids[id] = true
	}
	known := "there are none"
	if len(ids) > 0 {
		known = "there are " + strings.Join(slices.Sorted(maps.Keys(ids)), ", ")
	}
	for _, id := range slices.Sorted(maps.Keys(o.Enabled)) {
		if !ids[id] {
			bad("Options.Enabled names %q, which is no collector (%s)", id, known)
		} else if o.Enabled[id] > Off {
			bad("Options.Enabled has %s for %q", o.Enabled[id], id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(o.Periods)) {
		if !ids[id] {
			bad("Options.Periods names %q, which is no collector (%s)", id, known)
		} else if o.Periods[id] <= 0 {
			bad("Options.Periods has %s for %q; it must be positive", o.Periods[id], id)
		}
	}
	return errors.Join(errs...)
}

// describe asks a collector for its description.
func describe(c workloadmeta.Collector) (d workloadmeta.Description, err error) {
	err = guard(func() error { d = c.Describe(); return nil })
	return d, err
}

// switchOf returns the switch of a collector, or of the one that an instance is of.
func (o Options) switchOf(id string) Switch { return o.Enabled[workloadmeta.CollectorOf(id)] }

// periodOf returns the pull period of a collector; the receiver has its defaults.
func (o Options) periodOf(d workloadmeta.Description) time.Duration {
	if p, ok := o.Periods[workloadmeta.CollectorOf(d.ID)]; ok {
		return p
	}
	if d.Period > 0 {
		return d.Period
	}
	return o.PullPeriod
}
