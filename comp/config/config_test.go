package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/host"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
)

func schema() *config.Schema { return config.NewSchema(catalog.Collectors()) }

func dockerOf(l *config.Loaded) *docker.Options {
	return l.CollectorOptions("docker").(*docker.Options)
}

func hostOf(l *config.Loaded) *host.Options {
	return l.CollectorOptions("host").(*host.Options)
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, src config.Source) *config.Loaded {
	t.Helper()
	l, err := schema().Load(src)
	if err != nil {
		t.Fatalf("Load() error = %v", err)
	}
	return l
}

func TestNothingGivesTheDefaults(t *testing.T) {
	for name, src := range map[string]config.Source{
		"no source":     {},
		"empty file":    {File: file(t, "")},
		"comments only": {File: file(t, "# nothing\n")},
		"example":       {File: file(t, schema().Example())},
		"nulls":         {File: file(t, "tags:\ndocker:\nretention:\n  grace:\n")},
		"empty env":     {Env: []string{"DD_TAGS=", "ROLLCALL_DOCKER_HOST=", "DD_ENV=prod"}},
	} {
		got := load(t, src)
		if diff := cmp.Diff(config.Default(), got.Config); diff != "" {
			t.Errorf("%s: Load() differs from Default() (-want +got):\n%s", name, diff)
		}
		if len(got.From)+len(got.Warnings) > 0 {
			t.Errorf("%s: From = %v, Warnings = %q; want none", name, got.From, got.Warnings)
		}
	}
}

// Taking the comment signs off the example must give a valid file that says what is the default.
func TestExampleIsValid(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#(\s*# .*)?`).ReplaceAllString(schema().Example(), "")
	text = strings.Replace(text,
		" Configuration of rollcall. Everything is optional; what is commented out is the default.",
		"", 1)
	got := load(t, config.Source{File: file(t, text)})
	want := config.Default()
	empty := func(v any) bool { r := reflect.ValueOf(v); return r.Len() == 0 }
	same := cmp.FilterValues(func(a, b any) bool {
		ka, kb := reflect.ValueOf(a), reflect.ValueOf(b)
		return ka.IsValid() && kb.IsValid() &&
			(ka.Kind() == reflect.Map || ka.Kind() == reflect.Slice) &&
			(kb.Kind() == reflect.Map || kb.Kind() == reflect.Slice) && empty(a) && empty(b)
	}, cmp.Comparer(func(_, _ any) bool { return true }))
	if diff := cmp.Diff(want, got.Config, same); diff != "" {
		t.Errorf("the uncommented example differs from the defaults (-want +got):\n%s\n%s", diff,
			text)
	}
	if len(got.From) != len(schema().Options()) {
		t.Errorf("the example sets %d options, want all %d", len(got.From), len(schema().Options()))
	}
}

// Every field of the configuration that has a name is an option, and every option is described.
func TestEveryOptionIsDescribed(t *testing.T) {
	want := leaves(reflect.TypeFor[config.Config](), "")
	got := map[string]bool{}
	for _, o := range config.NewSchema(nil).Options() {
		got[o.Name] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields of Config and its options differ (-Config +Options):\n%s", diff)
	}
	for _, o := range schema().Options() {
		if o.Doc == "" || o.Type == "" || o.Default == "" || len(o.Env) == 0 {
			t.Errorf("option %+v is not described in full", o)
		}
	}
}

func leaves(typ reflect.Type, prefix string) map[string]bool {
	names := map[string]bool{}
	for f := range typ.Fields() {
		tag, tagged := f.Tag.Lookup("config")
		name, flags, _ := strings.Cut(tag, ",")
		switch {
		case name == "-" || !tagged:
			continue
		case flags == "squash":
			name = ""
		case f.Type.Kind() == reflect.Struct:
			name = prefix + name + "."
		default:
			names[prefix+name] = true
			continue
		}
		for n := range leaves(f.Type, name) {
			names[n] = true
		}
	}
	return names
}

func TestValuesOfAllTypes(t *testing.T) {
	inFile := load(t, config.Source{File: file(t, `
container_labels_as_tags: {app: kube_app, "com.example.*": "+%%label%%"}
kubernetes_resources_labels_as_tags:
  deployments.apps: {team: team}
kubernetes_resources_annotations_as_tags: '{"pods": {"owner": "owner"}}'
kubernetes_node_annotations_as_tags: {}
kubernetes_persistent_volume_claims_as_tags: no
tags: ["env:prod", 'region:eu']
expected_tags_duration: 90
dogstatsd_tag_cardinality: orch
collectors: {docker: off, process: on}
docker:
  host: unix:///tmp/d.sock
retention: {grace: 1m30s, max_tombstones: 10}
`)})
	inEnv := load(t, config.Source{Env: []string{
		`DD_CONTAINER_LABELS_AS_TAGS={"app":"kube_app","com.example.*":"+%%label%%"}`,
		`ROLLCALL_KUBERNETES_RESOURCES_LABELS_AS_TAGS={"deployments.apps":{"team":"team"}}`,
		`DD_KUBERNETES_RESOURCES_ANNOTATIONS_AS_TAGS={"pods": {"owner": "owner"}}`,
		"DD_KUBERNETES_NODE_ANNOTATIONS_AS_TAGS={}",
		"DD_KUBERNETES_PERSISTENT_VOLUME_CLAIMS_AS_TAGS=false",
		"DD_TAGS=env:prod region:eu", "ROLLCALL_EXPECTED_TAGS_DURATION=1m30s",
		"DD_DOGSTATSD_TAG_CARDINALITY=Orchestrator",
		"ROLLCALL_COLLECTORS_DOCKER=off", "ROLLCALL_COLLECTORS_PROCESS=on",
		"ROLLCALL_DOCKER_HOST=unix:///tmp/d.sock",
		"ROLLCALL_RETENTION_GRACE=90", "ROLLCALL_RETENTION_MAX_TOMBSTONES=10",
	}})
	want := config.Default()
	want.ContainerLabelsAsTags = map[string]string{"app": "kube_app", "com.example.*": "+%%label%%"}
	want.KubernetesResourcesLabelsAsTags = map[string]map[string]string{
		"deployments.apps": {"team": "team"}}
	want.KubernetesResourcesAnnotationsAsTags = map[string]map[string]string{
		"pods": {"owner": "owner"}}
	want.KubernetesNodeAnnotationsAsTags = map[string]string{}
	want.KubernetesPersistentVolumeClaimsAsTags = false
	want.Tags = []string{"env:prod", "region:eu"}
	want.DogstatsdTagCardinality = tagger.OrchestratorCardinality
	want.Collectors = map[string]collection.Switch{"docker": collection.Off,
		"process": collection.On}
	want.Retention = config.Retention{Grace: 90 * time.Second, MaxTombstones: 10}
	for name, got := range map[string]*config.Loaded{"a file": inFile, "the environment": inEnv} {
		if diff := cmp.Diff(want, got.Config); diff != "" {
			t.Errorf("from %s (-want +got):\n%s", name, diff)
		}
		if host := dockerOf(got).Host; host != "unix:///tmp/d.sock" {
			t.Errorf("from %s: docker.host = %q", name, host)
		}
		of := hostOf(got)
		if of.Duration != 90*time.Second || !slices.Equal(of.Tags, want.Tags) {
			t.Errorf("from %s: the host collector has %+v", name, of)
		}
	}
	if _, err := extract.New(inFile.Config.Options); err != nil {
		t.Errorf("extract.New() of what was loaded: %v", err)
	}
}

func TestPrecedence(t *testing.T) {
	path := file(t,
		"docker: {host: 'unix:///file'}\ncluster_name: file\ncontainer_labels_as_tags: {a: a, b: b}\ntags: ['from:file']\n")
	l := load(t, config.Source{
		File: path,
		Env: []string{
			"ROLLCALL_DOCKER_HOST=unix:///env", "DD_CLUSTER_NAME=dd", "ROLLCALL_CLUSTER_NAME=env",
			`DD_CONTAINER_LABELS_AS_TAGS={"c":"c"}`,
		},
		Flags: []config.Flag{{Flag: "--docker-host", Option: "docker.host", Value: "unix:///flag"}},
	})
	if dockerOf(l).Host != "unix:///flag" || l.ClusterName != "env" ||
		len(l.ContainerLabelsAsTags) != 1 || l.ContainerLabelsAsTags["c"] != "c" {
		t.Errorf("Load() = host %q, cluster %q, labels %v; want unix:///flag, env, map[c:c]",
			dockerOf(l).Host, l.ClusterName, l.ContainerLabelsAsTags)
	}
	want := map[string]string{
		"docker.host": "--docker-host", "cluster_name": "ROLLCALL_CLUSTER_NAME",
		"container_labels_as_tags": "DD_CONTAINER_LABELS_AS_TAGS", "tags": path + ":4",
	}
	if diff := cmp.Diff(want, l.From); diff != "" {
		t.Errorf("From (-want +got):\n%s", diff)
	}
	wantText := `cluster_name: "env" # ROLLCALL_CLUSTER_NAME
container_labels_as_tags: {"c":"c"} # DD_CONTAINER_LABELS_AS_TAGS
docker:
  host: "unix:///flag" # --docker-host
tags: ["from:file"] # ` + path + ":4\n"
	got := strings.Split(strings.TrimSpace(l.Render(false)), "\n")
	for _, line := range strings.Split(strings.TrimSpace(wantText), "\n") {
		if !strings.Contains(strings.Join(got, "\n"), line) {
			t.Errorf("Render() = %q, want a line %q", got, line)
		}
	}
	again := load(t, config.Source{File: file(t, l.Render(true))})
	if dockerOf(again).Host != dockerOf(l).Host || again.ClusterName != l.ClusterName ||
		again.Retention != l.Retention {
		t.Errorf("what Render wrote loads as %+v", again.Config)
	}
}

func TestErrorsNameThePlaceTheOptionAndWhatIsWanted(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"docker:\n  hots: x\n", `rollcall.yaml:2: unknown option docker.hots; did you mean docker.host?`},
		{"container_label_as_tags: {}\n", `rollcall.yaml:1: unknown option container_label_as_tags; did you mean container_labels_as_tags?`},
		{"zzz: 1\n", `rollcall.yaml:1: unknown option zzz; docs/configuration.md and "rollcall config --example" list what there is`},
		{"tags: env:prod\n", `rollcall.yaml:1: option tags: want a list of texts, have the text "env:prod"`},
		{"tags:\n- a:b\n- env: prod\n", `rollcall.yaml:3: option tags: item 2: want text, have a map (for the tag env:prod leave out the blank)`},
		{"cluster_name: 12\n", `rollcall.yaml:1: option cluster_name: want text, have the number 12`},
		{"exclude_pause_container: maybe\n", `rollcall.yaml:1: option exclude_pause_container: want true or false, have the text "maybe"`},
		{"exclude_pause_container: [true]\n", `rollcall.yaml:1: option exclude_pause_container: want true or false, have a list`},
		{"container_labels_as_tags: [a]\n", `rollcall.yaml:1: option container_labels_as_tags: want a map, text to text, have a list`},
		{"container_labels_as_tags:\n  a: b\n  c: [d]\n", `rollcall.yaml:3: option container_labels_as_tags: key "c": want text, have a list`},
		{"container_labels_as_tags:\n  a: b\n  'x*{': t\n", `rollcall.yaml:3: option container_labels_as_tags: key "x*{": `},
		{"kubernetes_resources_labels_as_tags:\n  pods:\n    '*[': t\n", `rollcall.yaml:3: option kubernetes_resources_labels_as_tags: key "*[": `},
		{"kubernetes_resources_labels_as_tags: '{x'\n", `rollcall.yaml:1: option kubernetes_resources_labels_as_tags: want JSON such as {"deployments.apps":{"team":"team"}}`},
		{"tag_value_split_separator: {a: ''}\n", `rollcall.yaml:1: option tag_value_split_separator: key "a": empty separator`},
		{"dogstatsd_tag_cardinality: medium\n", `rollcall.yaml:1: option dogstatsd_tag_cardinality: want low, orchestrator or high, have "medium"`},
		{"expected_tags_duration: soon\n", `rollcall.yaml:1: option expected_tags_duration: want a duration such as 30s or 5m, have "soon"`},
		{"retention: {grace: -1s}\n", `rollcall.yaml:1: option retention.grace: want a duration that is not negative, have "-1s"`},
		{"retention: {max_tombstones: many}\n", `rollcall.yaml:1: option retention.max_tombstones: want a number, have "many"`},
		{"collectors: {docker: perhaps}\n", `rollcall.yaml:1: option collectors.docker: want auto, on or off, have "perhaps"`},
		{"docker: unix:///x\n", `rollcall.yaml:1: option docker: want a map with host, hosts, keep_stopped, have the text "unix:///x"`},
		{"cluster_name: a\ncluster_name: b\n", `rollcall.yaml:2: option cluster_name is there twice, first in line 1`},
		{"a: b: c\n", `rollcall.yaml:1: not valid YAML: mapping values are not allowed in this context`},
		{"container_labels_as_tags:\n  team: one\n  team: two\n", `rollcall.yaml:3: option container_labels_as_tags: key "team" is there twice, first in line 2`},
		{"kubernetes_resources_labels_as_tags:\n  pods: {a: x}\n  pods: {b: y}\n", `rollcall.yaml:3: option kubernetes_resources_labels_as_tags: key "pods" is there twice, first in line 2`},
		{"kubernetes_resources_labels_as_tags:\n  pods:\n    a: x\n    a: y\n", `rollcall.yaml:4: option kubernetes_resources_labels_as_tags: key "pods": key "a" is there twice, first in line 3`},
		{"kubernetes_resources_labels_as_tags: '{\"pods\":{\"a\":\"x\",\"a\":\"y\"}}'\n", `rollcall.yaml:1: option kubernetes_resources_labels_as_tags: key "a" is there twice`},
		{"container_labels_as_tags: {[a]: b}\n", `rollcall.yaml:1: option container_labels_as_tags: want a text as key, have a list`},
		{"[a]: b\n", `rollcall.yaml:1: want the name of an option, have a list`},
		{"cluster_name: a\n---\ncluster_name: b\n", `rollcall.yaml:2: a second document begins; want one`},
		{"cluster_name: a\n---\n}{\n", `not valid YAML: `},
		{"rules:\n- rename:\n    a: b\n    a: c\n", `rollcall.yaml:4: option rules: rules[1]: rename: key "a" is there twice, first in line 3`},
		{"retention: {grace: 2400000h}\n", `rollcall.yaml:1: option retention.grace: want a duration of at most 876000h (100 years), have "2400000h"`},
		{"retention: {grace: 1e300}\n", `rollcall.yaml:1: option retention.grace: want a duration of at most 876000h (100 years), have "1e300"`},
		{"retention: {grace: .nan}\n", `rollcall.yaml:1: option retention.grace: want a duration such as 30s or 5m, have ".nan"`},
		{"retention: {grace: -1e300}\n", `rollcall.yaml:1: option retention.grace: want a duration that is not negative, have "-1e300"`},
		{"- a\n", `rollcall.yaml:1: want options, "name: value" each, have a list`},
		{"zzz: 1\ntags: 2\n", `list what there is; `},
	} {
		_, err := schema().Load(config.Source{File: file(t, tc.file)})
		if err == nil || !strings.Contains(err.Error(), tc.want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("Load(%q) error = %v\nwant one line with %s", tc.file, err, tc.want)
		}
	}
	for _, tc := range []struct{ env, want string }{
		{"DD_TAGS=[1]", `environment variable DD_TAGS: option tags: want a JSON array of texts, or texts separated by commas`},
		{"DD_CONTAINER_LABELS_AS_TAGS=app:x", `environment variable DD_CONTAINER_LABELS_AS_TAGS: option container_labels_as_tags: want a JSON object with texts, such as {"app":"kube_app"}`},
		{`ROLLCALL_CONTAINER_LABELS_AS_TAGS={"a*[":"x"}`, `ROLLCALL_CONTAINER_LABELS_AS_TAGS: option container_labels_as_tags: key "a*[": `},
		{`DD_CONTAINER_LABELS_AS_TAGS={"team":"a","x":"{","team":"b"}`, `environment variable DD_CONTAINER_LABELS_AS_TAGS: option container_labels_as_tags: key "team" is there twice`},
		{`DD_KUBERNETES_RESOURCES_LABELS_AS_TAGS={"pods":{},"pods":{}}`, `option kubernetes_resources_labels_as_tags: key "pods" is there twice`},
		{"ROLLCALL_RETENTION_GRACE=NaN", `option retention.grace: want a duration such as 30s or 5m, have "NaN"`},
		{"ROLLCALL_RETENTION_GRACE=inf", `option retention.grace: want a duration of at most 876000h (100 years), have "inf"`},
		{"ROLLCALL_EXCLUDE_PAUSE_CONTAINER=2", `environment variable ROLLCALL_EXCLUDE_PAUSE_CONTAINER: option exclude_pause_container: want true or false, have "2"`},
	} {
		if _, err := schema().Load(config.Source{Env: []string{tc.env}}); err == nil ||
			!strings.Contains(err.Error(), tc.want) {
			t.Errorf("Load(%q) error = %v\nwant %s", tc.env, err, tc.want)
		}
	}
	for _, f := range []config.Flag{{Flag: "--set", Option: "docker.hosst", Value: "x"}} {
		if _, err := schema().Load(config.Source{Flags: []config.Flag{f}}); err == nil ||
			err.Error() != "--set: unknown option docker.hosst; did you mean docker.host?" {
			t.Errorf("Load(%+v) error = %v", f, err)
		}
	}
	if _, err := schema().Load(config.Source{File: "/nonexistent/x.yaml"}); err == nil ||
		err.Error() != "read the configuration /nonexistent/x.yaml: no such file or directory" {
		t.Errorf("Load() of a missing file: %v", err)
	}
}

// An alias stands for what its anchor names, as a key as well.
func TestAliasesAsKeys(t *testing.T) {
	l := load(t, config.Source{File: file(t,
		"cluster_name: &k team\ncontainer_labels_as_tags: {*k : x}\n"+
			"rules:\n- &d drop: a\n- *d : b\n")})
	if l.ContainerLabelsAsTags["team"] != "x" || len(l.ContainerLabelsAsTags) != 1 {
		t.Errorf("labels as tags: %v", l.ContainerLabelsAsTags)
	}
	if len(l.Rules) != 2 || l.Rules[1].Names[0] != "b" {
		t.Errorf("rules: %v", l.Rules)
	}
}

// The same key in several objects is no double.
func TestKeysOfDifferentObjects(t *testing.T) {
	l := load(t, config.Source{Env: []string{
		`DD_KUBERNETES_RESOURCES_LABELS_AS_TAGS={"pods":{"a":"x"},"a":{"a":"a","pods":"y"}}`}})
	want := map[string]map[string]string{"pods": {"a": "x"}, "a": {"a": "a", "pods": "y"}}
	if diff := cmp.Diff(want, l.KubernetesResourcesLabelsAsTags); diff != "" {
		t.Error(diff)
	}
}

// Quotes around a whole value, as in a list of variables of a compose file, are not part of it.
func TestQuotesAroundAValue(t *testing.T) {
	l := load(t, config.Source{Env: []string{`DD_TAGS="env:prod team:x"`,
		`ROLLCALL_DOCKER_HOST='unix:///d.sock'`, `DD_CLUSTER_NAME="a 'b' c"`,
		`DD_CONTAINER_LABELS_AS_TAGS='{"a":"b"}'`, `DD_EXTRA_TAGS="a:b","c:d"`,
		`ROLLCALL_EXCLUDE_PAUSE_CONTAINER="false"`, `ROLLCALL_RETENTION_GRACE="1m"`}})
	if got := strings.Join(append(l.Tags, l.ExtraTags...), "|"); got != "env:prod|team:x|a:b|c:d" ||
		dockerOf(l).Host != "unix:///d.sock" || l.ClusterName != "a 'b' c" ||
		l.ContainerLabelsAsTags["a"] != "b" || l.ExcludePauseContainer ||
		l.Retention.Grace != time.Minute || len(l.Warnings) > 0 {
		t.Errorf("%+v", l.Config)
	}
}

func TestWhatHasNoEffectIsAWarning(t *testing.T) {
	path := file(t, "tags:\n- env:prod\n- novalue\n- ':v'\n- 'k:'\n"+
		"container_labels_as_tags:\n  team: one\n  TEAM: two\n")
	for _, tc := range []struct {
		src  config.Source
		want []string
	}{
		{config.Source{Env: []string{"DD_TAGS=owner:data platform,env:prod"}}, []string{
			`tags "platform" (DD_TAGS): it is no tag, name:value, and ignored; if it belongs to ` +
				`"owner:data", write a JSON array, because blanks separate tags`}},
		{config.Source{Env: []string{`DD_EXTRA_TAGS=["owner:data platform","x"]`}}, []string{
			`extra_tags "x" (DD_EXTRA_TAGS): it is no tag, name:value, and ignored`}},
		{config.Source{File: path}, []string{
			`tags "novalue" (` + path + `:3): it is no tag, name:value, and ignored`,
			`tags ":v" (` + path + `:4): it is no tag, name:value, and ignored`,
			`tags "k:" (` + path + `:5): it is no tag, name:value, and ignored`,
			`container_labels_as_tags "TEAM" (` + path + `:8) and "team" (` + path +
				`:7): case does not matter, and one of them has no effect`}},
	} {
		if diff := cmp.Diff(tc.want, load(t, tc.src).Warnings); diff != "" {
			t.Errorf("Warnings (-want +got):\n%s", diff)
		}
	}
}

func TestSlipInTheEnvironmentIsAWarning(t *testing.T) {
	l := load(t,
		config.Source{Env: []string{"ROLLCALL_DOCKR_HOST=x", "ROLLCALL_PORT=tcp://10.0.0.1:80",
			"ROLLCALL_CONFIG=x", "DD_DOCKR_HOST=x"}})
	want := []string{
		"environment variable ROLLCALL_DOCKR_HOST is no option; did you mean ROLLCALL_DOCKER_HOST?"}
	if diff := cmp.Diff(want, l.Warnings); diff != "" {
		t.Errorf("Warnings (-want +got):\n%s", diff)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("tags: [a:b]\ndocker: {host: x}\n", `{"a":"b"}`)
	f.Add("a: &x {b: *x}\n", "[")
	f.Fuzz(func(t *testing.T, text, value string) {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = schema().Load(
			config.Source{File: path,
				Env: []string{"DD_TAGS=" + value, "DD_CONTAINER_LABELS_AS_TAGS=" + value}})
	})
}
