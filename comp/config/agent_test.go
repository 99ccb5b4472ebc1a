package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// specFor is a Spec for these types of agents whose collector says by its ID for which it is made.
func specFor(id string, agents ...collection.Agent) collection.AnySpec {
	return collection.Spec[struct{}]{
		Description: workloadmeta.Description{ID: id, Source: "x"}, About: "things of " + id,
		Agents: agents,
		Make: func(_ struct{}, d collection.Deps) ([]workloadmeta.Collector, error) {
			return []workloadmeta.Collector{collection.Idle(workloadmeta.Description{
				ID: id + "@" + string(d.Agent)}, workloadmeta.Problem{})}, nil
		},
	}
}

// The catalog composes by the type of agent. Who does not belong is listed, so that status can say
// so, and cannot be asked for.
func TestCollectorsByTypeOfAgent(t *testing.T) {
	schema := config.NewSchema([]collection.AnySpec{specFor("box"),
		specFor("api", collection.Cluster), specFor("play", collection.Node, collection.Cluster)})
	for _, tc := range []struct {
		flag, deps collection.Agent
		made, idle string
	}{
		{"", "", "box@node play@node", "api"},
		{collection.Cluster, "", "api@cluster play@cluster", "box"},
		{collection.Remote, "", "", "box api play"},
		{collection.Cluster, collection.Node, "box@node play@node", "api"},
	} {
		src := config.Source{Env: []string{"ROLLCALL_COLLECTORS_BOX=on",
			"ROLLCALL_COLLECTORS_API=on"}}
		if tc.flag != "" {
			src.Flags = []config.Flag{{Flag: "--agent-type", Option: "agent_type",
				Value: string(tc.flag)}}
		}
		l, err := schema.Load(src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.NewCollectors(collection.Deps{Agent: tc.deps})
		if err != nil {
			t.Fatal(err)
		}
		var made, idle []string
		for _, c := range got.List {
			id := c.Describe().ID
			d := c.Detect(t.Context())
			if d.Cause != workloadmeta.CauseOff {
				made = append(made, id)
				continue
			}
			idle = append(idle, id)
			if want := "does not belong to an agent of type "; d.State != workloadmeta.Disabled ||
				!strings.HasPrefix(d.Reason, want) || got.Asked[id] != "" ||
				got.Enabled[id] != collection.Auto {
				t.Errorf("%+v: %s is %+v, asked for %q, switched %s", tc, id, d, got.Asked[id],
					got.Enabled[id])
			}
		}
		if strings.Join(made, " ") != tc.made || strings.Join(idle, " ") != tc.idle {
			t.Errorf("%+v: made %q, idle %q", tc, made, idle)
		}
	}
}

func TestTheTypeOfAgentIsAnOption(t *testing.T) {
	schema := config.NewSchema(nil)
	l, err := schema.Load(config.Source{Env: []string{"ROLLCALL_AGENT_TYPE=cluster"}})
	if err != nil || l.AgentType != collection.Cluster {
		t.Fatalf("%v, %v", l, err)
	}
	if got := l.Render(false); got != "agent_type: cluster # ROLLCALL_AGENT_TYPE\n" {
		t.Errorf("it is written as %q", got)
	}
	if _, ok := l.Recorded(nil)["agent_type"]; ok {
		t.Error("it is in recordings, which any agent may play")
	}
	_, err = schema.Load(config.Source{Env: []string{"ROLLCALL_AGENT_TYPE=Node"}})
	if want := "environment variable ROLLCALL_AGENT_TYPE: option agent_type: " +
		`want node, cluster or remote, have "Node"`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// What somebody makes tags of is told to the collectors; what is built in is nobody's wish.
func TestResourcesThatTagsAreMadeOf(t *testing.T) {
	schema := config.NewSchema(nil)
	for _, tc := range []struct{ yaml, want string }{
		{"", ""},
		{"kubernetes_namespace_labels_as_tags: {team: team}", "namespaces"},
		{"kubernetes_node_labels_as_tags: {zone: zone}", "nodes"},
		{"kubernetes_node_annotations_as_tags: {}", ""},
		{"kubernetes_node_annotations_as_tags: {rack: rack}", "nodes"},
		{"kubernetes_pod_labels_as_tags: {app: app}", ""},
		{"kubernetes_resources_labels_as_tags: {deployments.apps: {team: team}, pods: {a: b}}",
			"deployments.apps"},
		{"rules:\n- {tag: team, from: {label: team}, when: {resource: [jobs.batch, '*.example.org']}}",
			"jobs.batch"},
		{"rules:\n- {drop: team, when: {resource: jobs.batch}}", ""},
	} {
		file := filepath.Join(t.TempDir(), "rollcall.yaml")
		if err := os.WriteFile(file, []byte(tc.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := schema.Load(config.Source{File: file})
		if err != nil {
			t.Errorf("%s: %v", tc.yaml, err)
			continue
		}
		if got := strings.Join(l.Deps().Resources, " "); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.yaml, got, tc.want)
		}
	}
}
