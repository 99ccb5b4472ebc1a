package containerd

import (
	"slices"
	"strconv"
)

// Docker has its containers in one namespace and its managed plugins, which are no workload, in
// another.
const (
	dockerNamespace  = "moby"
	pluginsNamespace = "plugins.moby"
)

// scope says which namespaces are collected.
type scope struct {
	only    []string // empty = all
	exclude []string // sorted, as only
}

func newScope(o *Options) scope {
	s := scope{only: slices.Clone(o.Namespaces)}
	slices.Sort(s.only)
	s.only = slices.Compact(s.only)
	if len(s.only) == 0 {
		// Docker's has an instance of its own, which collects where Docker's collector does not.
		s.exclude = append(slices.Clone(o.ExcludeNamespaces), pluginsNamespace, dockerNamespace)
		slices.Sort(s.exclude)
		s.exclude = slices.Compact(s.exclude)
	}
	return s
}

// wants reports whether a namespace is collected.
func (s scope) wants(namespace string) bool {
	if len(s.only) > 0 {
		return slices.Contains(s.only, namespace)
	}
	return !slices.Contains(s.exclude, namespace)
}

// topics are those that are asked for. Not asked for: /tasks/exec-*, of which every probe makes
// two, and those of snapshots and content, of which every pull makes dozens.
var topics = [...]string{
	"/containers/create", "/containers/update", "/containers/delete",
	"/tasks/start", "/tasks/oom", "/tasks/paused", "/tasks/resumed", "/tasks/exit", "/tasks/delete",
	"/images/create", "/images/update", "/images/delete",
	"/namespaces/create", "/namespaces/delete",
}

// filters returns what to subscribe to. containerd sends what one of the filters lets pass, so that
// all exclusions have to be in each of them: "a and not x" beside "a and not y" is everything.
func (s scope) filters() []string {
	var out []string
	for _, topic := range topics {
		base := "topic==" + strconv.Quote(topic)
		for _, ns := range s.only {
			out = append(out, base+",namespace=="+strconv.Quote(ns))
		}
		if len(s.only) > 0 {
			continue
		}
		for _, ns := range s.exclude {
			base += ",namespace!=" + strconv.Quote(ns)
		}
		out = append(out, base)
	}
	return out
}
