package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// Collectors are the collectors of a configuration, made and ready to be run.
type Collectors struct {
	List []workloadmeta.Collector
	// Enabled are their switches, as [collection.Options] takes them.
	Enabled map[string]collection.Switch
	// Asked says by a collector's ID how somebody has asked for it by name, so that its absence
	// is an error: "docker.host is set by rollcall.yaml:3".
	Asked map[string]string
}

// EnvFilter returns the filter for the environment variables of containers: it lets through what
// the tag rules need, and those that are named beside.
func (l *Loaded) EnvFilter(beside ...string) (*env.Filter, error) {
	filter, err := env.NewFilter(slices.Concat(l.EnvNames(), beside)...)
	if err != nil {
		return nil, fmt.Errorf("options container_env_as_tags, docker_env_as_tags and rules: %w",
			err)
	}
	return filter, nil
}

// Deps returns what the configuration says of the program to all collectors.
func (l *Loaded) Deps() collection.Deps {
	return collection.Deps{Agent: cmp.Or(l.AgentType, collection.Node), Resources: l.resources()}
}

// resources returns the resources of Kubernetes of whose labels and annotations somebody has asked
// for tags. What is built in asks for nothing.
func (l *Loaded) resources() []string {
	found := map[string]bool{
		"namespaces": len(l.KubernetesNamespaceLabelsAsTags) > 0 ||
			len(l.KubernetesNamespaceAnnotationsAsTags) > 0,
		"nodes": len(l.KubernetesNodeLabelsAsTags) > 0 || l.From[nodeAnnotations] != "" &&
			len(l.KubernetesNodeAnnotationsAsTags) > 0,
	}
	for _, mapped := range []map[string]map[string]string{l.KubernetesResourcesLabelsAsTags,
		l.KubernetesResourcesAnnotationsAsTags} {
		for resource := range mapped {
			found[resource] = true
		}
	}
	for i := range l.Rules {
		r := &l.Rules[i]
		if r.Action != rules.Tag || r.From.Field == rules.Env {
			continue
		}
		for _, when := range r.When {
			if when.Field != rules.Resource {
				continue
			}
			for _, pattern := range when.Patterns {
				found[pattern] = !strings.ContainsAny(pattern, "*?[/")
			}
		}
	}
	found["pods"] = false
	maps.DeleteFunc(found, func(_ string, asked bool) bool { return !asked })
	return slices.Sorted(maps.Keys(found))
}

// nodeAnnotations has a default, which alone is no wish.
const nodeAnnotations = "kubernetes_node_annotations_as_tags"

// NewCollectors makes the collectors that belong to the type of agent that deps has, or else the
// configuration. In the place of one that does not belong, or is switched off, there is one that
// says so: what is wrong with its options, or with the variables of its daemon's other clients,
// does not matter then, and nor does whether somebody has asked for it, since agents of several
// types may share a file. An error names the option that it is about, and where that is set. Beside
// it there are the others, and one in the place of each that could not be made, which says why.
func (l *Loaded) NewCollectors(deps collection.Deps) (Collectors, error) {
	configured := l.Deps()
	deps.Agent = cmp.Or(deps.Agent, configured.Agent)
	if deps.Resources == nil {
		deps.Resources = configured.Resources
	}
	out := Collectors{Enabled: map[string]collection.Switch{}, Asked: map[string]string{}}
	var errs []error
	for i, spec := range l.schema.collectors {
		description := spec.Describe()
		id := description.ID
		if !spec.BelongsTo(deps.Agent) {
			out.List = append(out.List, collection.Idle(description, workloadmeta.Problem{
				Cause:  workloadmeta.CauseOff,
				Reason: fmt.Sprintf("does not belong to an agent of type %s", deps.Agent)}))
			continue
		}
		made := []workloadmeta.Collector{collection.Idle(description, workloadmeta.Problem{
			Cause: workloadmeta.CauseOff, Reason: "switched off by configuration"})}
		if l.Collectors[id] != collection.Off {
			var err error
			if made, err = spec.New(l.options[i], deps); err != nil {
				err = l.Blame(id, err)
				errs = append(errs, err)
				made = []workloadmeta.Collector{collection.Idle(description, workloadmeta.Problem{
					Cause: workloadmeta.CauseInvalid, Reason: err.Error()})}
			}
		}
		out.List = append(out.List, made...)
		asked := l.asked(i)
		for _, c := range made {
			instance := c.Describe().ID
			out.Enabled[instance] = l.Collectors[id]
			if asked != "" {
				out.Asked[instance] = asked
			}
		}
	}
	return out, errors.Join(errs...)
}

// CollectorOptions returns the options of a collector, as its Spec made them; nil if the schema
// does not know it. The caller must not write to them.
func (l *Loaded) CollectorOptions(id string) any {
	for i, c := range l.schema.collectors {
		if c.Describe().ID == id {
			return l.options[i]
		}
	}
	return nil
}

// asked says how somebody has asked for a collector by name, "" if nobody has.
func (l *Loaded) asked(i int) string {
	id := l.schema.collectors[i].Describe().ID
	if l.Collectors[id] == collection.Off {
		return ""
	}
	options := reflect.ValueOf(l.options[i]).Elem()
	for _, o := range l.schema.options {
		for _, t := range o.targets {
			from, set := l.From[o.Name]
			if set && t.address && t.owner == i+1 && !isEmpty(options.FieldByIndex(t.index)) {
				return o.Name + " is set by " + from
			}
		}
	}
	if name := "collectors." + id; l.Collectors[id] == collection.On {
		return name + " is set to on by " + l.From[name]
	}
	return ""
}

// Named says of which collectors, by their IDs, a variable of the environment names the source,
// maybe for other programs: that nothing is there is worth a word then, and no error.
func (l *Loaded) Named(environ []string) map[string]bool {
	named := map[string]bool{}
	for _, o := range l.schema.options {
		for _, t := range o.targets {
			if t.env == "" || !slices.ContainsFunc(environ, func(entry string) bool {
				value, ok := strings.CutPrefix(entry, t.env+"=")
				return ok && value != ""
			}) {
				continue
			}
			id := l.schema.collectors[t.owner-1].Describe().ID
			if l.Collectors[id] != collection.Off {
				named[id] = true
			}
		}
	}
	return named
}

func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// Blame says which option the complaint of a collector is about, and where it is set.
func (l *Loaded) Blame(id string, err error) error {
	wrong, ok := errors.AsType[*collection.OptionError](err)
	i := slices.IndexFunc(l.schema.collectors, func(c collection.AnySpec) bool {
		return c.Describe().ID == id
	})
	if !ok || i < 0 {
		return err
	}
	field, ok := reflect.TypeOf(l.options[i]).Elem().FieldByName(wrong.Field)
	if !ok {
		return err
	}
	var unset string
	for _, o := range l.schema.options {
		for _, t := range o.targets {
			if t.owner != i+1 || !slices.Equal(t.index, field.Index) {
				continue
			}
			if from, set := l.From[o.Name]; set {
				return fmt.Errorf("option %s, set by %s: %w", o.Name, from, wrong.Err)
			}
			unset = cmp.Or(unset, o.Name)
		}
	}
	if unset == "" {
		return err
	}
	return fmt.Errorf("option %s: %w", unset, wrong.Err)
}
