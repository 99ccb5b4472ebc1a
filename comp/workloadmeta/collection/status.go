package collection

import (
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// State is how a collector is doing.
type State string

// The states, in the order a healthy collector goes through them.
const (
	StateDisabled   State = "disabled"   // switched off for good
	StateWaiting    State = "waiting"    // nothing to collect here now; asked again
	StateConnecting State = "connecting" // started, nothing reported yet
	StateSyncing    State = "syncing"    // reporting what there is
	StateLive       State = "live"       // has reported everything and goes on
	StateDegraded   State = "degraded"   // failed, is tried again; what it reported stays
	StateFailed     State = "failed"     // failed for good; what it reported stays
)

// States lists all states. The caller owns the slice.
func States() []State {
	return []State{StateDisabled, StateWaiting, StateConnecting, StateSyncing, StateLive,
		StateDegraded, StateFailed}
}

// Status is how one collector is doing. Zero times mean never.
type Status struct {
	ID     string              `json:"id"`
	Source workloadmeta.Source `json:"source"`
	Kinds  []workloadmeta.Kind `json:"kinds,omitempty"`
	Modes  []string            `json:"modes"` // of stream, pull, fetch
	// Omits are kinds that it could report and does not as it is configured, and why. It is shared.
	Omits map[workloadmeta.Kind]workloadmeta.Problem `json:"omits,omitempty"`

	State State     `json:"state"`
	Since time.Time `json:"since,omitzero"` // when State was entered
	// What was found, or why nothing is collected, and what to do about it.
	workloadmeta.Problem
	// More is what was found at other places that were looked at.
	More []workloadmeta.Problem `json:"more,omitempty"`
	// Parts of the collector that may fail by themselves: see [PartReporter].
	Parts []Part `json:"parts,omitempty"`

	LastError   string    `json:"last_error,omitempty"` // kept after recovery
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	NextRetry   time.Time `json:"next_retry,omitzero"` // while waiting or degraded

	Entities      int       `json:"entities"` // reported and not withdrawn
	Events        uint64    `json:"events"`   // valid ones taken from the collector
	LastEvent     time.Time `json:"last_event,omitzero"`
	InvalidEvents uint64    `json:"invalid_events,omitempty"`
	LastSync      time.Time `json:"last_sync,omitzero"` // end of the last full list
	// LastPull is how long the last pull took, in nanoseconds in JSON.
	LastPull time.Duration `json:"last_pull,omitempty"`
	Pulls    uint64        `json:"pulls,omitempty"`
	Fetches  uint64        `json:"fetches,omitempty"`
	Restarts uint64        `json:"restarts"` // of the stream
	Failures uint64        `json:"failures"` // of any call
	Panics   uint64        `json:"panics,omitempty"`
}

// mode is a way of collecting that has a state of its own.
type mode uint8

const (
	modeStream mode = iota
	modePull
	modeFetch
	numModes
)

var modeNames = [numModes]string{modeStream: "stream", modePull: "pull", modeFetch: "fetch"}

func (m mode) String() string { return modeNames[m] }

// modeState is how one mode is doing.
type modeState struct {
	on    bool
	state State
	why   workloadmeta.Problem
	retry time.Time
}

// severity orders the states of the modes: the worst is the collector's.
var severity = []State{StateLive, StateSyncing, StateConnecting, StateDegraded}

// summarize derives the collector's state from those of its modes.
func summarize(modes [numModes]modeState) (worst modeState) {
	for _, m := range modes {
		if m.on && (!worst.on ||
			slices.Index(severity, m.state) > slices.Index(severity, worst.state)) {
			worst = m
		}
	}
	return worst
}

// Lacking returns the parts that do not work and that tell of entities of a kind, and of the
// resource, if that is not empty. Of a collector that does not work they are those that say why.
func (s *Status) Lacking(kind workloadmeta.Kind, resource string) (parts []Part) {
	for _, p := range s.Parts {
		if p.Kind == kind && (resource == "" || p.Name == resource) && p.State != StateLive &&
			(s.State == StateLive || p.Reason != "") {
			parts = append(parts, p)
		}
	}
	return parts
}

// Missing says in one line, for people, why nothing may be known about entities of a
// kind, and of a resource, if that is not empty: which of the collectors that report it are off or
// failing, or which of their parts, and why. It is empty if all of them work.
func (s *Supervisor) Missing(kind workloadmeta.Kind, resource string) string {
	var lines []string
	reported, omitted := false, workloadmeta.Problem{}
	for _, r := range s.shown() {
		if why, ok := r.Omits[kind]; ok {
			omitted = why
		}
		if !r.collects(kind) {
			continue
		}
		reported = true
		status := r.snapshot()
		tell := func(what string, state State, why workloadmeta.Problem) {
			line := "collector " + status.ID + what + " is " + string(state)
			if why.Reason != "" {
				line += ": " + why.String()
			}
			lines = append(lines, line)
		}
		parts := status.Lacking(kind, resource)
		for _, p := range parts {
			tell(": "+p.Name, p.State, p.Problem)
		}
		if len(parts) == 0 && status.State != StateLive {
			tell("", status.State, status.Problem)
		}
	}
	switch {
	case !reported && omitted.Reason != "":
		return omitted.String()
	case !reported:
		return "no collector in this program reports this kind"
	}
	return strings.Join(lines, "; ")
}
