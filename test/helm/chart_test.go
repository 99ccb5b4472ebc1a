// Package helm_test tests the Helm chart with Helm's own packages: it passes its linter, its
// schema refuses what makes no sense, its objects are such as Kubernetes knows, and the rights that
// it grants are those that the program says it needs.
package helm_test

import (
	"bufio"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigs "sigs.k8s.io/yaml"

	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/rbac"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

const (
	chartDir     = "../../deploy/helm/rollcall"
	manifestsDir = "../../deploy/manifests"
)

var update = flag.Bool("update", false, "write the manifests anew")

// levels are the values of what the chart offers, by the names of the manifests that are rendered
// of them.
var levels = map[string]string{
	"node-full": ``,
	"node-api":  `node: {level: api}`,
	"node-self": `node: {level: self}`,
	"cluster":   `{node: {enabled: false}, cluster: {enabled: true}}`,
}

// image is where the manifests expect the image, which who applies them has to replace.
const image = `image: {repository: registry.example.com/rollcall}`

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// values reads values as of several files.
func values(t *testing.T, texts ...string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, text := range texts {
		var one map[string]any
		if err := sigs.Unmarshal([]byte(text), &one); err != nil {
			t.Fatal(err)
		}
		all = loader.MergeMaps(all, one)
	}
	return all
}

// render returns the files of the chart with these values, as "helm template" does.
func render(c *chart.Chart, v map[string]any) (map[string]string, error) {
	top, err := util.ToRenderValues(c, v, common.ReleaseOptions{Name: "rollcall",
		Namespace: "rollcall", IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, top)
}

// objects are what was rendered.
type objects struct {
	text     string // all of them
	configs  map[string]string
	accounts map[string]corev1.ServiceAccount
	roles    map[string][]string // what they grant
	bindings map[string][]rbacv1.Subject
	pods     map[string]corev1.PodSpec
}

// decode reads what was rendered, in which nothing may be that Kubernetes does not know.
func decode(t *testing.T, files map[string]string) objects {
	t.Helper()
	o := objects{configs: map[string]string{}, accounts: map[string]corev1.ServiceAccount{},
		roles: map[string][]string{}, bindings: map[string][]rbacv1.Subject{},
		pods: map[string]corev1.PodSpec{}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		docs := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(files[name])))
		for {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.TrimSpace(string(doc)) == "" {
				continue
			}
			o.text += "---\n" + strings.Trim(string(doc), "\n") + "\n"
			o.add(t, doc)
		}
	}
	return o
}

func (o *objects) add(t *testing.T, doc []byte) {
	t.Helper()
	var head struct {
		APIVersion, Kind string
	}
	strict(t, doc, &head, false)
	switch head.APIVersion + " " + head.Kind {
	case "v1 ConfigMap":
		var m corev1.ConfigMap
		strict(t, doc, &m, true)
		o.configs[m.Name] = m.Data["rollcall.yaml"]
	case "v1 ServiceAccount":
		var a corev1.ServiceAccount
		strict(t, doc, &a, true)
		o.accounts[a.Name] = a
	case "rbac.authorization.k8s.io/v1 ClusterRole":
		var r rbacv1.ClusterRole
		strict(t, doc, &r, true)
		o.roles[r.Name] = append(o.roles[r.Name], granted("", r.Rules)...)
	case "rbac.authorization.k8s.io/v1 Role":
		var r rbacv1.Role
		strict(t, doc, &r, true)
		if r.Namespace != "rollcall" {
			t.Errorf("the role %s is of the namespace %q", r.Name, r.Namespace)
		}
		o.roles[r.Name] = append(o.roles[r.Name], granted("own ", r.Rules)...)
	case "rbac.authorization.k8s.io/v1 ClusterRoleBinding":
		var b rbacv1.ClusterRoleBinding
		strict(t, doc, &b, true)
		o.bind(t, b.Name, b.RoleRef, "ClusterRole", b.Subjects)
	case "rbac.authorization.k8s.io/v1 RoleBinding":
		var b rbacv1.RoleBinding
		strict(t, doc, &b, true)
		o.bind(t, b.Name, b.RoleRef, "Role", b.Subjects)
	case "apps/v1 DaemonSet":
		var d appsv1.DaemonSet
		strict(t, doc, &d, true)
		if !maps.Equal(d.Spec.Selector.MatchLabels, selected(d.Spec.Template.Labels,
			d.Spec.Selector.MatchLabels)) {
			t.Errorf("DaemonSet %s does not select its own pods", d.Name)
		}
		o.pods[d.Name] = d.Spec.Template.Spec
	case "apps/v1 Deployment":
		var d appsv1.Deployment
		strict(t, doc, &d, true)
		if !maps.Equal(d.Spec.Selector.MatchLabels, selected(d.Spec.Template.Labels,
			d.Spec.Selector.MatchLabels)) {
			t.Errorf("Deployment %s does not select its own pods", d.Name)
		}
		o.pods[d.Name] = d.Spec.Template.Spec
	default:
		t.Errorf("an object that no test knows: %s %s", head.APIVersion, head.Kind)
	}
}

// bind takes a binding, which has to be to the role of its own name and kind.
func (o *objects) bind(t *testing.T, name string, to rbacv1.RoleRef, kind string,
	subjects []rbacv1.Subject) {
	t.Helper()
	if to.Name != name || to.Kind != kind || to.APIGroup != rbacv1.GroupName {
		t.Errorf("the binding %s is to %+v", name, to)
	}
	o.bindings[name] = append(o.bindings[name], subjects...)
}

func selected(labels, selector map[string]string) map[string]string {
	out := map[string]string{}
	for name := range selector {
		out[name] = labels[name]
	}
	return out
}

func strict(t *testing.T, doc []byte, into any, known bool) {
	t.Helper()
	read := sigs.Unmarshal
	if known {
		read = sigs.UnmarshalStrict
	}
	if err := read(doc, into); err != nil {
		t.Errorf("%v in\n%s", err, doc)
	}
}

// wanted returns the rules that "rollcall rbac" prints with a configuration.
func wanted(t *testing.T, text string) (list []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	specs := catalog.Collectors()
	conf, err := config.NewSchema(specs).Load(config.Source{File: file})
	if err != nil {
		t.Fatalf("rollcall does not take the configuration of the chart: %v", err)
	}
	if len(conf.Warnings) > 0 {
		t.Errorf("rollcall says of the configuration of the chart: %q", conf.Warnings)
	}
	rules, err := rbac.Rules(specs, conf)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		for _, verb := range r.Verbs {
			own := ""
			if r.Namespace == collection.OwnNamespace {
				own = "own "
			}
			list = append(list, own+r.Group+"/"+r.Resource+" "+verb)
		}
	}
	slices.Sort(list)
	return list
}

// granted returns the rules of a role in the same form.
func granted(own string, rules []rbacv1.PolicyRule) (list []string) {
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					list = append(list, own+group+"/"+resource+" "+verb)
				}
			}
		}
	}
	return list
}

// With each level, and what a user may change of it, the chart grants exactly what "rollcall rbac"
// prints for the configuration that it gives to the program, to the account that the pods have.
func TestTheChartGrantsWhatIsNeeded(t *testing.T) {
	c := load(t)
	for _, level := range slices.Sorted(maps.Keys(levels)) {
		for _, change := range []string{"",
			"config: {kubelet: {nodes_proxy: true}}",
			"node: {config: {collectors: {kubelet: off, docker: off}}}",
			"config: {collectors: {kubelet: on}}\nnode: {config: {collectors: {kubelet: auto}}}",
			"config: {tags: [\"env:prod\"], container_labels_as_tags: {team: team}}",
			"config: {kubelet: {pod_source: auto, nodes_proxy: true}}",
			"cluster: {replicas: 1}",
			"config: {collectors: {apiserver: off}}",
			"config: {apiserver: {resources: [namespaces, nodes, pods, services]," +
				" allow_direct_slices: true}}",
			"cluster: {config: {apiserver: {share: false, resources: [deployments, autoscalers," +
				" batch/cronjobs, apps/v1/statefulsets, /persistentvolumes, v1/pods, pods]}}}",
			"config: {kubernetes_namespace_labels_as_tags: {team: team}}",
			"config: {kubernetes_node_annotations_as_tags: {team: team}}",
			"config: {kubernetes_resources_labels_as_tags: {pods: {a: b}, nodes: {a: b}," +
				" cronjobs.batch: {a: b}, deployments.apps: {a: b}}}",
		} {
			files, err := render(c, values(t, image, levels[level], change))
			if err != nil {
				t.Errorf("%s, %q: %v", level, change, err)
				continue
			}
			o := decode(t, files)
			for name, pod := range o.pods {
				want := wanted(t, o.configs[name])
				got := o.roles[name]
				slices.Sort(got)
				if got = slices.Compact(got); !slices.Equal(got, want) {
					t.Errorf("%s, %q: %s is granted %q, needs %q", level, change, name, got, want)
				}
				if _, ok := o.roles[name]; ok != (len(want) > 0) {
					t.Errorf("%s, %q: %s has a role: %v", level, change, name, ok)
				}
				checkAccount(t, o, name, pod, len(want) > 0)
			}
		}
	}
}

// checkAccount checks that the pods have the account that the role is bound to, and its token only
// if there is anything to ask for.
func checkAccount(t *testing.T, o objects, name string, pod corev1.PodSpec, asks bool) {
	t.Helper()
	if _, ok := o.accounts[pod.ServiceAccountName]; !ok {
		t.Errorf("%s: no account %s", name, pod.ServiceAccountName)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken != asks {
		t.Errorf("%s: mounts a token: %v", name, pod.AutomountServiceAccountToken)
	}
	subjects, ok := o.bindings[name]
	if ok != asks {
		t.Errorf("%s: there is a binding: %v", name, ok)
	}
	for _, s := range subjects {
		if s.Kind != rbacv1.ServiceAccountKind || s.Name != pod.ServiceAccountName ||
			s.Namespace != "rollcall" {
			t.Errorf("%s: bound to %+v", name, s)
		}
	}
}

// What a level does not need, it does not have: root, folders of the machine, capabilities.
func TestLevelsHaveNoMoreThanTheyNeed(t *testing.T) {
	c := load(t)
	for level, text := range levels {
		files, err := render(c, values(t, image, text))
		if err != nil {
			t.Fatal(err)
		}
		for name, pod := range decode(t, files).pods {
			full := level == "node-full"
			s := pod.Containers[0].SecurityContext
			if *s.RunAsUser == 0 != full || s.RunAsNonRoot != nil && *s.RunAsNonRoot == full ||
				!*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || s.Privileged != nil ||
				len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" ||
				len(s.Capabilities.Add) != 0 != full {
				t.Errorf("%s, %s: %+v", level, name, s)
			}
			if pod.HostPID || pod.HostIPC || pod.HostNetwork {
				t.Errorf("%s, %s: it is in the machine's namespaces", level, name)
			}
			for _, v := range pod.Volumes {
				switch {
				case v.HostPath == nil:
				case !full:
					t.Errorf("%s, %s: it has %s of the machine", level, name, v.HostPath.Path)
				case strings.HasSuffix(v.HostPath.Path, ".sock"):
					t.Errorf("%s, %s: it has the socket %s, which is another after a restart",
						level,
						name, v.HostPath.Path)
				}
			}
			var mounts []string
			for _, m := range pod.Containers[0].VolumeMounts {
				mounts = append(mounts, m.MountPath)
				if !m.ReadOnly {
					t.Errorf("%s, %s: it may write to %s", level, name, m.MountPath)
				}
			}
			// The second is looked for beside the first.
			for _, folder := range []string{"/host/proc", "/host/sys/fs/cgroup"} {
				if slices.Contains(mounts, folder) != full {
					t.Errorf("%s, %s: it has %s", level, name, mounts)
				}
			}
		}
	}
}

func TestLint(t *testing.T) {
	for level, text := range levels {
		for _, m := range lint.RunAll(chartDir, values(t, image, text), "rollcall").Messages {
			// A chart is not made to look better by an icon.
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %s", level, m)
			}
		}
	}
}

// The schema refuses slips, and names them.
func TestSchema(t *testing.T) {
	c := load(t)
	for text, want := range map[string]string{
		`node: {levle: self}`:                                  "levle",
		`node: {level: most}`:                                  "level",
		`config: {collectors: {docker: sometimes}}`:            "docker",
		`config: {kublet: {}}`:                                 "kublet",
		`config: {agent_type: cluster}`:                        "agent_type",
		`node: {config: {kubelet: {nodes_proxy: "please"}}}`:   "nodes_proxy",
		`cluster: {replicas: 0}`:                               "replicas",
		`cluster: {level: full}`:                               "level",
		`node: {runtimeFolders: [/run/docker.sock]}`:           "runtimeFolders",
		`image: {pullPolicy: Sometimes}`:                       "pullPolicy",
		`image: {digest: "sha256:1"}`:                          "digest",
		`node: {extraRules: [{resource: pods, verbs: [get]}]}`: "extraRules",
	} {
		_, err := render(c, values(t, image, text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one about %s", text, err, want)
		}
	}
	if _, err := render(c, nil); err == nil ||
		!strings.Contains(err.Error(), "image.repository is not set") {
		t.Errorf("without an image: %v", err)
	}
}

// Replicas share the pods with those of their own release only.
func TestReleasesShareWithNobodyElse(t *testing.T) {
	c := load(t)
	for release, want := range map[string]string{"rollcall": "rollcall-cluster",
		"other": "other-cluster"} {
		files, err := render(c, values(t, image, levels["cluster"], "cluster: {replicas: 2}",
			"fullnameOverride: "+release))
		if err != nil {
			t.Fatal(err)
		}
		conf := decode(t, files).configs[want]
		if !strings.Contains(conf, "share_group: "+want+"\n") {
			t.Errorf("release %s shares otherwise than as %s:\n%s", release, want, conf)
		}
	}
}

// The manifests are what the chart gives.
func TestManifests(t *testing.T) {
	c := load(t)
	for level, text := range levels {
		files, err := render(c, values(t, image, text))
		if err != nil {
			t.Fatal(err)
		}
		want := manifest(level, decode(t, files).text)
		path := filepath.Join(manifestsDir, level+".yaml")
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(path); err != nil || string(have) != want {
			t.Errorf("%s is out of date (%v); run: go run tasks.go gen", path, err)
		}
	}
	there, err := filepath.Glob(filepath.Join(manifestsDir, "*.yaml"))
	if err != nil || len(there) != len(levels) {
		t.Errorf("%s has %q, %v; want %d files", manifestsDir, there, err, len(levels))
	}
}

// manifest is the text of objects without what is Helm's.
func manifest(level, text string) string {
	head := "# Rendered from deploy/helm/rollcall (" + level + `) by "go run tasks.go gen". Put your image in the place of
# registry.example.com/rollcall, then: kubectl apply -f ` + level + `.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: rollcall
`
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "app.kubernetes.io/managed-by:") &&
			!strings.Contains(line, "helm.sh/chart:") && !strings.HasPrefix(line, "# Source:") {
			b.WriteString(line)
		}
	}
	return head + b.String()
}
