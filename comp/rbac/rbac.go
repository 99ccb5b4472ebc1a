// Package rbac writes the Kubernetes roles of an agent: what the Specs of its collectors say that
// they ask of a cluster, and nothing more.
//
// What is written is the same for the same configuration, to the byte. Each rule names one
// resource, who needs it and why, so that a person can decide to go without.
package rbac

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Rule is a right to a resource.
type Rule struct {
	// Namespace to which it is limited, "" if it is not.
	Namespace       string
	Group, Resource string
	Verbs           []string
	// Why has a line for each collector and reason: "kubelet: pods of the node".
	Why []string
}

// Rules returns what the collectors of a program ask for with its configuration, in the order of
// their names. A collector that is switched off, or does not belong to the type of agent, asks for
// nothing. An error names the option with which one could not run.
func Rules(collectors []collection.AnySpec, conf *config.Loaded) ([]Rule, error) {
	type key struct{ namespace, group, resource string }
	rules := map[key]Rule{}
	for _, spec := range collectors {
		id := spec.Describe().ID
		if !spec.BelongsTo(conf.AgentType) || conf.Collectors[id] == collection.Off {
			continue
		}
		asked, err := spec.AccessOf(conf.CollectorOptions(id), conf.Deps())
		if err != nil {
			return nil, conf.Blame(id, err)
		}
		for _, a := range asked {
			k := key{a.Namespace, a.Group, a.Resource}
			rule := rules[k]
			rule.Namespace, rule.Group, rule.Resource = a.Namespace, a.Group, a.Resource
			rule.Verbs = append(rule.Verbs, a.Verbs...)
			rule.Why = append(rule.Why, id+": "+a.Why)
			rules[k] = rule
		}
	}
	sorted := slices.SortedFunc(maps.Values(rules), func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Group, b.Group),
			cmp.Compare(a.Resource, b.Resource))
	})
	for i := range sorted {
		slices.SortFunc(sorted[i].Verbs, compareVerbs)
		sorted[i].Verbs = slices.Compact(sorted[i].Verbs)
	}
	return sorted, nil
}

// compareVerbs orders verbs as people do: what reads before what writes.
func compareVerbs(a, b string) int {
	verbs := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	return cmp.Or(cmp.Compare(slices.Index(verbs, a), slices.Index(verbs, b)), cmp.Compare(a, b))
}

// YAML writes the rule as an item of a role's rules.
func (r Rule) YAML() string {
	var b strings.Builder
	for _, why := range r.Why {
		fmt.Fprintf(&b, "# %s\n", why)
	}
	fmt.Fprintf(&b, "- apiGroups: [%q]\n  resources: [%q]\n  verbs: [%s]\n", r.Group, r.Resource,
		`"`+strings.Join(r.Verbs, `", "`)+`"`)
	return b.String()
}

// Account is a service account.
type Account struct{ Namespace, Name string }

// Manifest writes the roles that have these rules: a cluster role, and a role in each namespace
// that a rule is limited to. With an account, which is written, too, it also binds them to it. A
// rule of the agent's own namespace is in that of the account, or else in the one in which the
// manifest is applied.
func Manifest(name string, rules []Rule, account Account) string {
	m := manifest{name: text(name), account: account}
	if account != (Account{}) {
		m.object("v1", "ServiceAccount", text(account.Name), account.Namespace)
	}
	for _, namespace := range slices.Compact(namespaces(rules)) {
		kind := "ClusterRole"
		if namespace != "" {
			kind = "Role"
		}
		m.role(kind, namespace, slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool {
			return r.Namespace != namespace
		}))
		if account != (Account{}) {
			m.binding(kind, namespace)
		}
	}
	return strings.Join(m.objects, "---\n")
}

func namespaces(rules []Rule) (list []string) {
	for _, r := range rules {
		list = append(list, r.Namespace)
	}
	return list
}

type manifest struct {
	name    string
	account Account
	objects []string
}

const group = "rbac.authorization.k8s.io"

// object begins an object.
func (m *manifest) object(version, kind, name, namespace string) {
	head := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", version, kind, name)
	if namespace != "" {
		head += fmt.Sprintf("  namespace: %s\n", text(namespace))
	}
	m.objects = append(m.objects, head)
}

// add adds lines to the object that was begun last.
func (m *manifest) add(format string, args ...any) {
	m.objects[len(m.objects)-1] += fmt.Sprintf(format, args...)
}

// own returns the namespace in which something is.
func (m *manifest) own(namespace string) string {
	if namespace == collection.OwnNamespace {
		return m.account.Namespace
	}
	return namespace
}

func (m *manifest) role(kind, namespace string, rules []Rule) {
	m.object(group+"/v1", kind, m.name, m.own(namespace))
	m.add("rules:\n")
	for _, r := range rules {
		m.add("%s", Indent(r.YAML(), 2))
	}
}

func (m *manifest) binding(kind, namespace string) {
	m.object(group+"/v1", kind+"Binding", m.name, m.own(namespace))
	m.add("roleRef:\n  apiGroup: %s\n  kind: %s\n  name: %s\n", group, kind, m.name)
	m.add("subjects:\n  - kind: ServiceAccount\n    name: %s\n    namespace: %s\n",
		text(m.account.Name), text(m.account.Namespace))
}

// Indent puts blanks before each line.
func Indent(lines string, by int) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString(strings.Repeat(" ", by) + line)
	}
	return b.String()
}

// text writes a text as YAML, quoted if it could be taken for something else.
func text(s string) string {
	written, err := yaml.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("rbac: write %q as YAML: %v", s, err)) // no text fails
	}
	return strings.TrimSuffix(string(written), "\n")
}
