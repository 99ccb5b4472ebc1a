package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// recordedEnviron is the name under which a recording has the variables of the process that tags
// depend on. It is no option.
const recordedEnviron = "environment"

// Recorded returns what of the configuration tags depend on, for the header of a recording: the
// options of rollcall itself that are not at their defaults, as they stand in a file, in JSON, and
// those variables of the environment ("NAME=value" each) that [Config.TagOptions] looks at.
func (l *Loaded) Recorded(environ []string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, o := range l.schema.options {
		if len(o.targets) == 0 || o.targets[0].owner != 0 || o.Name == "proc_root" ||
			o.Name == "agent_type" {
			continue // a collector's, or about this process
		}
		text := inline(l.value(o))
		if text == inline(o.fallback) {
			continue
		}
		value := json.RawMessage(text)
		if !json.Valid(value) { // a duration, or a name
			value, _ = json.Marshal(text) // no text fails
		}
		out[o.Name] = value
	}
	kept := []string{}
	for _, entry := range environ {
		if name, _, _ := strings.Cut(entry, "="); slices.Contains(tagVariables(), name) {
			kept = append(kept, entry)
		}
	}
	out[recordedEnviron], _ = json.Marshal(kept)
	return out
}

// tagVariables are the variables that [Config.TagOptions] looks at.
func tagVariables() []string { return []string{"ECS_FARGATE", "AWS_EXECUTION_ENV"} }

// RecordedEnviron returns the variables that are in what [Loaded.Recorded] has returned.
func RecordedEnviron(recorded map[string]json.RawMessage) []string {
	environ := []string{}
	_ = json.Unmarshal(recorded[recordedEnviron], &environ) // none, if it is something else
	return environ
}

// recorded reads the options of a recording. Those that this version does not know are left out,
// and told of: a newer one may have made the recording.
func (l *loader) recorded(file string, options map[string]json.RawMessage) {
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		o, ok := l.schema.find(name)
		switch {
		case name == recordedEnviron:
		case !ok || len(o.targets) == 0 || o.targets[0].owner != 0:
			unknown = append(unknown, name)
		default:
			var doc yaml.Node
			if err := yaml.Unmarshal(options[name], &doc); err != nil || len(doc.Content) == 0 {
				l.wrong(file, "option %s: not valid", name)
				continue
			}
			l.value(file, file, o, doc.Content[0])
		}
	}
	if len(unknown) > 0 {
		l.out.Warnings = append(l.out.Warnings, fmt.Sprintf(
			"%s was made with options that this version does not know: %s", file,
			strings.Join(unknown, ", ")))
	}
}
