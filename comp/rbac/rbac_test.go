package rbac_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/rbac"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

type options struct {
	Pods  bool `config:"pods" default:"true" doc:"Pods."`
	Wrong bool `config:"wrong" default:"false" doc:"Wrong."`
}

// asks is a Spec of a collector that asks for this.
func asks(id string, agent collection.Agent, access ...collection.Access) collection.AnySpec {
	return collection.Spec[options]{
		Description: workloadmeta.Description{ID: id, Source: "x"}, About: "things of " + id,
		Agents: []collection.Agent{agent},
		Access: func(o options, _ collection.Deps) ([]collection.Access, error) {
			if o.Wrong {
				return nil, &collection.OptionError{Collector: id, Field: "Wrong",
					Err: errors.New("it is wrong")}
			}
			if o.Pods {
				return append(access, collection.Access{Resource: "pods",
					Verbs: []string{"watch", "list"}, Why: "pods"}), nil
			}
			return access, nil
		},
	}
}

func rules(t *testing.T, set map[string]string) []rbac.Rule {
	t.Helper()
	list, err := tryRules(t, set)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// With options with which a collector cannot run there are no rules, and the option is named.
func TestNoRulesForWhatCannotRun(t *testing.T) {
	list, err := tryRules(t, map[string]string{"b.wrong": "true"})
	if len(list) > 0 || err == nil || err.Error() != "option b.wrong, set by -: it is wrong" {
		t.Errorf("%v, %v", list, err)
	}
}

func tryRules(t *testing.T, set map[string]string) ([]rbac.Rule, error) {
	t.Helper()
	specs := []collection.AnySpec{
		asks("b", collection.Cluster,
			collection.Access{Group: "coordination.k8s.io", Resource: "leases",
				Verbs: []string{"update", "create", "get"}, Namespace: collection.OwnNamespace,
				Why: "who does what"},
			collection.Access{Group: "apps", Resource: "deployments",
				Verbs: []string{"watch", "list"}, Why: "owners"}),
		asks("a", collection.Cluster, collection.Access{Resource: "pods", Verbs: []string{"get"},
			Why: "the own pod"}),
		asks("n", collection.Node, collection.Access{Resource: "nodes/pods", Why: "the node's"}),
	}
	src := config.Source{Flags: []config.Flag{{Flag: "-", Option: "agent_type",
		Value: "cluster"}}}
	for option, value := range set {
		src.Flags = append(src.Flags, config.Flag{Flag: "-", Option: option, Value: value})
	}
	conf, err := config.NewSchema(specs).Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return rbac.Rules(specs, conf)
}

// What several collectors ask of one resource is one rule, which says why each of them does.
func TestManifest(t *testing.T) {
	want := `apiVersion: v1
kind: ServiceAccount
metadata:
  name: "1"
  namespace: tools
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: rollcall
rules:
  # b: pods
  # a: the own pod
  # a: pods
  - apiGroups: [""]
    resources: ["pods"]
    verbs: ["get", "list", "watch"]
  # b: owners
  - apiGroups: ["apps"]
    resources: ["deployments"]
    verbs: ["list", "watch"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: rollcall
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: rollcall
subjects:
  - kind: ServiceAccount
    name: "1"
    namespace: tools
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: rollcall
  namespace: tools
rules:
  # b: who does what
  - apiGroups: ["coordination.k8s.io"]
    resources: ["leases"]
    verbs: ["get", "create", "update"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: rollcall
  namespace: tools
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: rollcall
subjects:
  - kind: ServiceAccount
    name: "1"
    namespace: tools
`
	account := rbac.Account{Namespace: "tools", Name: "1"}
	for range 20 { // the order depends on nothing
		if got := rbac.Manifest("rollcall", rules(t, nil), account); got != want {
			t.Fatalf("the manifest is\n%s\nwant\n%s", got, want)
		}
	}
}

// Without an account, the own namespace is the one in which the manifest is applied.
func TestTheOwnNamespace(t *testing.T) {
	got := rbac.Manifest("rollcall", rules(t, nil), rbac.Account{})
	if !strings.Contains(got, "kind: Role\nmetadata:\n  name: rollcall\nrules:\n") {
		t.Errorf("the role is not one of any namespace:\n%s", got)
	}
}

// The configuration that is in force decides.
func TestOnlyWhatIsNeeded(t *testing.T) {
	want := `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: rollcall
rules:
  # a: the own pod
  - apiGroups: [""]
    resources: ["pods"]
    verbs: ["get"]
`
	got := rbac.Manifest("rollcall", rules(t, map[string]string{"collectors.b": "off",
		"a.pods": "false"}), rbac.Account{})
	if got != want {
		t.Errorf("the manifest is\n%s\nwant\n%s", got, want)
	}
	if got := rules(t, map[string]string{"agent_type": "remote"}); len(got) != 0 {
		t.Errorf("an agent without collectors needs %v", got)
	}
}
