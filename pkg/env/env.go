// Package env decides which environment variables of a workload may be kept.
//
// Environments are full of secrets, so the rule is an allow-list: a variable
// that is not on it is dropped before anything can store or log it. The list
// holds the variables that tags are made from, and what the user's
// configuration adds.
package env

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gobwas/glob"
)

// builtin are the variables that tags are made from, in upper case: unified
// service tagging, OpenTelemetry, Mesos (Marathon, Chronos), Nomad, ECS, the
// mark of an agent's own container, and which GPUs NVIDIA's runtime gives to
// one.
var builtin = [...]string{
	"DD_ENV",
	"DD_SERVICE",
	"DD_VERSION",
	"DD_GIT_COMMIT_SHA",
	"DD_GIT_REPOSITORY_URL",
	"OTEL_SERVICE_NAME",
	"OTEL_RESOURCE_ATTRIBUTES",
	"CHRONOS_JOB_NAME",
	"CHRONOS_JOB_OWNER",
	"MARATHON_APP_ID",
	"MESOS_TASK_ID",
	"NOMAD_TASK_NAME",
	"NOMAD_JOB_NAME",
	"NOMAD_GROUP_NAME",
	"NOMAD_NAMESPACE",
	"NOMAD_DC",
	"ECS_CONTAINER_METADATA_URI",
	"ECS_CONTAINER_METADATA_URI_V4",
	"DOCKER_DD_AGENT",
	"NVIDIA_VISIBLE_DEVICES",
}

// Filter is an allow-list of variable names. It is immutable and safe for
// concurrent use. Create one with [NewFilter].
type Filter struct {
	names map[string]struct{} // upper case
	globs []*glob.Pattern     // of upper-case patterns
}

// NewFilter returns a filter for the built-in list and the extra names, which
// are usually the keys of the env-as-tags options. An extra name with a "*" is
// a glob: "*" is any text, "?" any character, "[…]" a character class, "{a,b}"
// either; without a "*" all of these stand for themselves. Case does not
// matter.
//
// Every name that is empty, contains "=", or does not compile as a glob is
// reported in the error, quoted.
func NewFilter(extra ...string) (*Filter, error) {
	f := &Filter{names: make(map[string]struct{}, len(builtin)+len(extra))}
	for _, name := range builtin {
		f.names[name] = struct{}{}
	}
	var errs []error
	for _, name := range extra {
		if err := f.add(name); err != nil {
			errs = append(errs, fmt.Errorf("allow environment variable %q: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Filter) add(name string) error {
	switch {
	case name == "":
		return errors.New("empty name")
	case strings.Contains(name, "="):
		return errors.New("a variable's name has no \"=\"")
	case !strings.Contains(name, "*"):
		f.names[strings.ToUpper(name)] = struct{}{}
		return nil
	}
	g, err := glob.Compile(strings.ToUpper(name))
	if err != nil {
		return err
	}
	f.globs = append(f.globs, g)
	return nil
}

// Allowed reports whether a variable of this name may be kept.
func (f *Filter) Allowed(name string) bool {
	if name == "" {
		return false
	}
	name = strings.ToUpper(name)
	if _, ok := f.names[name]; ok {
		return true
	}
	for _, g := range f.globs {
		if g.Match(name) {
			return true
		}
	}
	return false
}

// Filter returns the allowed variables among entries of the form NAME=VALUE,
// with names as they are written; nil if there are none. The value begins
// after the first "=". Entries without one, and without a name, are normal in
// images and are left out. Of several entries with one name the last counts.
func (f *Filter) Filter(entries []string) map[string]string {
	var kept map[string]string
	for _, entry := range entries {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || !f.Allowed(name) {
			continue
		}
		if kept == nil {
			kept = make(map[string]string)
		}
		kept[name] = value
	}
	return kept
}
