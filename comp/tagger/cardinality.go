package tagger

import (
	"fmt"
	"strings"
)

// TagCardinality says how many different values a tag may have across a fleet. A
// query at a level returns that level and everything below it.
type TagCardinality uint8

// Cardinalities.
const (
	// LowCardinality tags have as many values as there are hosts or deployments.
	LowCardinality TagCardinality = iota
	// OrchestratorCardinality tags have as many values as there are pods or tasks.
	OrchestratorCardinality
	// HighCardinality tags have as many values as there are containers or requests.
	HighCardinality
	// NoneCardinality asks for no tags at all.
	NoneCardinality
)

// String returns the text form.
func (c TagCardinality) String() string {
	switch c {
	case LowCardinality:
		return "low"
	case OrchestratorCardinality:
		return "orchestrator"
	case HighCardinality:
		return "high"
	case NoneCardinality:
		return "none"
	}
	return "unknown"
}

// ParseCardinality accepts low, orchestrator, orch, high and none in any case.
// Anything else is [LowCardinality] and an error.
func ParseCardinality(s string) (TagCardinality, error) {
	switch strings.ToLower(s) {
	case "low":
		return LowCardinality, nil
	case "orchestrator", "orch":
		return OrchestratorCardinality, nil
	case "high":
		return HighCardinality, nil
	case "none":
		return NoneCardinality, nil
	}
	return LowCardinality,
		fmt.Errorf("unknown cardinality %q (want low, orchestrator, high or none)", s)
}
