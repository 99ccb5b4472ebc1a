package extract

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gobwas/glob"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// configured is one map option with its name.
type configured struct {
	option  string // as rules are called after it: `container_labels_as_tags`
	name    string // of the option in the configuration, if that is not all of it
	entries map[string]string
}

// translation turns the map options into rules.
type translation struct {
	where func(option, key string) string
	list  []rules.Rule
	errs  []error
}

// TagRules returns all rules of the options in the order in which they count: first what
// the map options mean, then [Options.Rules]. The error joins everything that is wrong with
// the maps.
func (o Options) TagRules() ([]rules.Rule, []error) {
	t := translation{where: o.Where}
	t.add(rules.Label, containerOrImage,
		configured{"container_labels_as_tags", "", o.ContainerLabelsAsTags},
		configured{"docker_labels_as_tags", "", o.DockerLabelsAsTags})
	t.add(rules.Env,
		rules.Condition{Field: rules.Kind, Patterns: []string{workloadmeta.KindContainer.String()}},
		configured{"container_env_as_tags", "", o.ContainerEnvAsTags},
		configured{"docker_env_as_tags", "", o.DockerEnvAsTags})
	t.resources(rules.Label, "kubernetes_resources_labels_as_tags",
		o.KubernetesResourcesLabelsAsTags, map[string]configured{
			"pods": {"kubernetes_pod_labels_as_tags", "", o.KubernetesPodLabelsAsTags},
			"namespaces": {"kubernetes_namespace_labels_as_tags", "",
				o.KubernetesNamespaceLabelsAsTags},
			"nodes": {"kubernetes_node_labels_as_tags", "", o.KubernetesNodeLabelsAsTags},
		})
	t.resources(rules.Annotation, "kubernetes_resources_annotations_as_tags",
		o.KubernetesResourcesAnnotationsAsTags, map[string]configured{
			"pods": {"kubernetes_pod_annotations_as_tags", "", o.KubernetesPodAnnotationsAsTags},
			"namespaces": {"kubernetes_namespace_annotations_as_tags", "",
				o.KubernetesNamespaceAnnotationsAsTags},
			"nodes": {"kubernetes_node_annotations_as_tags", "",
				o.KubernetesNodeAnnotationsAsTags},
		})
	return append(t.list, o.Rules...), t.errs
}

// containerOrImage is what container_labels_as_tags is for.
var containerOrImage = rules.Condition{Field: rules.Kind, Patterns: []string{
	workloadmeta.KindContainer.String(), workloadmeta.KindContainerImage.String(),
}}

// add translates options for the same things. For a key that is in several, the last
// option wins with its whole list of names. Of several spellings of a key in one option the
// last in byte order wins.
func (t *translation) add(from rules.Field, when rules.Condition, options ...configured) {
	made := map[string]rules.Rule{}
	for _, o := range options {
		for _, key := range sortedKeys(o.entries) {
			r := rules.Rule{
				Name: o.option + "[" + strconv.Quote(key) +
					"]", Origin: rules.Option, Action: rules.Tag,
				Names: split(o.entries[key]), From: rules.From{Field: from,
					Key: key}, When: []rules.Condition{when},
			}
			if t.where != nil {
				name := o.name
				if name == "" {
					name = o.option
				}
				r.Where = t.where(name, key)
			}
			if strings.Contains(key, "*") {
				if _, err := glob.Compile(strings.ToLower(key)); err != nil {
					t.errs = append(t.errs, &KeyError{o.option, key, err})
					continue
				}
			}
			made[strings.ToLower(key)] = r
		}
	}
	for _, key := range sortedKeys(made) {
		t.list = append(t.list, made[key])
	}
}

// resources translates the options of all Kubernetes resources: for those with an option
// of their own the entries of both options, the generic one winning.
func (t *translation) resources(from rules.Field, option string,
	generic map[string]map[string]string, specific map[string]configured) {
	sources := map[string][]configured{}
	for resource, c := range specific {
		sources[resource] = append(sources[resource], c)
	}
	for _, resource := range sortedKeys(generic) {
		name := strings.TrimSuffix(resource, ".")
		sources[name] = append(sources[name],
			configured{option + "[\"" + resource + "\"]", option, generic[resource]})
	}
	for _, resource := range sortedKeys(sources) {
		t.add(from, rules.Condition{Field: rules.Resource, Patterns: []string{resource}},
			sources[resource]...)
	}
}

// split returns the tag names of an entry.
func split(list string) []string {
	var names []string
	for part := range strings.SplitSeq(list, ",") {
		names = append(names, strings.TrimSpace(part))
	}
	return names
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
