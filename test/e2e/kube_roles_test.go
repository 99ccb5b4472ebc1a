package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollcall-dev/rollcall/comp/agent"
	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/rbac"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// apply applies the objects of a manifest, in which the API server must know everything.
func (k *kubeWorld) apply(manifest string) {
	k.t.Helper()
	for doc := range strings.SplitSeq(manifest, "---\n") {
		var o struct {
			APIVersion, Kind string
			Metadata         struct{ Name, Namespace string }
		}
		var content map[string]any
		if err := yaml.Unmarshal([]byte(doc), &content); err != nil {
			k.t.Fatal(err)
		}
		if content == nil {
			continue
		}
		body, err := json.Marshal(content)
		if err == nil {
			err = json.Unmarshal(body, &o)
		}
		if err != nil {
			k.t.Fatal(err)
		}
		path := "/apis/" + o.APIVersion
		if o.APIVersion == "v1" {
			path = "/api/v1"
		}
		if o.Metadata.Namespace != "" {
			path += "/namespaces/" + o.Metadata.Namespace
		}
		path += "/" + strings.ToLower(o.Kind) + "s/" + o.Metadata.Name
		err = k.api.CoreV1().RESTClient().Patch(types.ApplyYAMLPatchType).AbsPath(path).
			Param("fieldManager", "e2e").Param("fieldValidation", "Strict").Param("force", "true").
			Body(body).Do(k.t.Context()).Error()
		if err != nil {
			k.t.Fatalf("apply %s %s: %v", o.Kind, o.Metadata.Name, err)
		}
	}
}

// configured loads a configuration of "option=value" each, beside a file if one is named, in which
// only these collectors are on.
func (k *kubeWorld) configured(file string, only []string, set ...string) *config.Loaded {
	k.t.Helper()
	for _, spec := range catalog.Collectors() {
		if id := spec.Describe().ID; !slices.Contains(only, id) {
			set = append(set, "collectors."+id+"=off")
		}
	}
	src := config.Source{File: file}
	for _, option := range set {
		name, value, _ := strings.Cut(option, "=")
		src.Flags = append(src.Flags, config.Flag{Flag: "--set", Option: name, Value: value})
	}
	conf, err := config.NewSchema(catalog.Collectors()).Load(src)
	if err != nil {
		k.t.Fatal(err)
	}
	return conf
}

// run runs an agent until the returned function is called.
func (k *kubeWorld) run(conf *config.Loaded) (a *agent.Agent, stop func()) {
	k.t.Helper()
	a, err := agent.New(agent.Options{Config: conf, Environ: []string{}, Log: newApp(k.t).logger()})
	if err != nil {
		k.t.Fatal(err)
	}
	if err := a.Start(k.t.Context()); err != nil {
		k.t.Error(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := a.Stop(k.t.Context()); err != nil {
			k.t.Error(err)
		}
	}
	return a, stop
}

// forbidden returns what status says is forbidden, and what of it is not well for another reason
// than that it is not there.
func forbidden(a *agent.Agent) (forbidden []workloadmeta.Problem, ill []string) {
	for _, s := range a.Collectors().Status() {
		if s.Cause == workloadmeta.CauseOff {
			continue
		}
		parts := s.Parts
		if len(parts) == 0 {
			parts = []collection.Part{{Name: s.ID, State: s.State, Problem: s.Problem}}
		}
		for _, p := range parts {
			switch {
			case p.Cause == workloadmeta.CauseForbidden:
				forbidden = append(forbidden, p.Problem)
			case p.State != collection.StateLive && p.Cause != workloadmeta.CauseAbsent:
				ill = append(ill, fmt.Sprintf("%s: %+v", p.Name, p))
			}
		}
		if s.State != collection.StateLive && len(forbidden) == 0 {
			ill = append(ill, fmt.Sprintf("%s: %s, %+v", s.ID, s.State, s.Problem))
		}
	}
	return forbidden, ill
}

// TestKubeRoles runs agents with exactly the role that "rollcall rbac" prints for their
// configuration, in which nothing is forbidden, and then once without each rule of it, which status
// names.
func TestKubeRoles(t *testing.T) {
	k := newKube(t)
	k.pod("seen", nil, shell("c", "while :; do sleep 1; done"))
	pod := k.await("seen", "ready", isReady)
	t.Setenv("POD_NAMESPACE", k.ns)
	t.Setenv("POD_NAME", "rollcall-e2e")
	none := filepath.Join(t.TempDir(), "none.sock")
	for _, tc := range []struct {
		name  string
		only  []string
		set   func(a *account) []string
		rules int
	}{
		{"node asks the kubelet", []string{"kubelet"}, func(a *account) []string {
			return []string{"kubelet.pods_socket=" + none, "kubelet.url=" + k.node.KubeletURL,
				"kubelet_client_ca=" + k.node.KubeletCert, "kubelet_auth_token_path=" + a.file,
				"kubernetes_kubelet_nodename=" + k.node.Node}
		}, 1},
		{"node asks the API server", []string{"kubelet", "apiserver"}, func(a *account) []string {
			return []string{"kubelet.pods_socket=" + none, "kubelet.pod_source=apiserver",
				"kubernetes_kubeconfig_path=" + a.kubeconfig(),
				"kubernetes_kubelet_nodename=" + k.node.Node,
				`kubernetes_namespace_labels_as_tags={"team":"team"}`,
				`kubernetes_node_labels_as_tags={"zone":"zone"}`}
		}, 3},
		{"cluster", []string{"apiserver"}, func(a *account) []string {
			return []string{"agent_type=cluster", "apiserver.share=true",
				"kubernetes_kubeconfig_path=" + a.kubeconfig(), "apiserver.resources=namespaces " +
					"nodes deployments pods services autoscalers batch/cronjobs"}
		}, 10},
	} {
		all, err := rbac.Rules(catalog.Collectors(), k.configured("", tc.only,
			tc.set(newAccount(k))...))
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != tc.rules {
			t.Fatalf("%s: it needs %d rules, want %d: %+v", tc.name, len(all), tc.rules, all)
		}
		for missing := -1; missing < len(all); missing++ {
			account, rules := newAccount(k), slices.Clone(all)
			if missing >= 0 {
				rules = slices.Delete(rules, missing, missing+1)
			}
			k.apply(rbac.Manifest(account.name, rules, rbac.Account{Namespace: k.ns,
				Name: account.name}))
			a, stop := k.run(k.configured("", tc.only, tc.set(account)...))
			eventually(t, func() string {
				refused, ill := forbidden(a)
				if missing >= 0 {
					what := all[missing].Resource
					for _, p := range refused {
						if !strings.Contains(p.Reason+" "+p.Hint, what) || p.Hint == "" {
							return fmt.Sprintf("%s: without %s, %+v", tc.name, what, p)
						}
					}
					if len(refused) == 0 {
						return fmt.Sprintf("%s: without %s nothing is forbidden: %v", tc.name, what,
							ill)
					}
					return ""
				}
				_, err := a.Store().GetKubernetesPod(string(pod.UID))
				if len(refused) > 0 || len(ill) > 0 || err != nil {
					return fmt.Sprintf("%s: with all rules %+v is forbidden, %v; %v", tc.name,
						refused, ill, err)
				}
				return ""
			})
			stop()
		}
	}
}

// applied applies a manifest of the repository, and returns the options that it has in a file, and
// its account with a token.
func (k *kubeWorld) applied(name, component string) (options string, a *account) {
	k.t.Helper()
	text, err := os.ReadFile("../../deploy/manifests/" + name + ".yaml")
	if err != nil {
		k.t.Fatal(err)
	}
	k.apply(string(text))
	at := "rollcall"
	made, err := k.api.CoreV1().ConfigMaps(at).Get(k.t.Context(), "rollcall-"+component,
		metav1.GetOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rollcall-e2e") // anybody may read it
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { os.RemoveAll(dir) })
	options = filepath.Join(dir, "rollcall.yaml")
	a = &account{k: k, name: "rollcall-" + component, file: filepath.Join(k.t.TempDir(), "token")}
	token, err := k.api.CoreV1().ServiceAccounts(at).CreateToken(k.t.Context(), a.name,
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	a.write(token.Status.Token)
	for path, mode := range map[string]os.FileMode{dir: 0o755, options: 0o644} {
		if path == options {
			err = os.WriteFile(path, []byte(made.Data["rollcall.yaml"]), mode)
		}
		if err == nil {
			err = os.Chmod(path, mode)
		}
		if err != nil {
			k.t.Fatal(err)
		}
	}
	return options, a
}

// expectAdmitted checks which Pod Security level lets the pods of an applied manifest in.
func (k *kubeWorld) expectAdmitted(component string, privileged bool) {
	k.t.Helper()
	const at = "rollcall"
	var template corev1.PodTemplateSpec
	if component == "cluster" {
		d, err := k.api.AppsV1().Deployments(at).Get(k.t.Context(), "rollcall-cluster",
			metav1.GetOptions{})
		if err != nil {
			k.t.Fatal(err)
		}
		template = d.Spec.Template
	} else {
		d, err := k.api.AppsV1().DaemonSets(at).Get(k.t.Context(), "rollcall-node",
			metav1.GetOptions{})
		if err != nil {
			k.t.Fatal(err)
		}
		template = d.Spec.Template
	}
	for level, want := range map[string]bool{"restricted": !privileged, "privileged": true} {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":%q}}}`,
			level)
		_, err := k.api.CoreV1().Namespaces().Patch(k.t.Context(), at, types.MergePatchType,
			[]byte(patch), metav1.PatchOptions{})
		if err != nil {
			k.t.Fatal(err)
		}
		eventually(k.t, func() string { // the label is known a moment later
			_, err := k.api.CoreV1().Pods(at).Create(k.t.Context(), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "admitted-", Labels: template.Labels},
				Spec:       template.Spec}, metav1.CreateOptions{
				DryRun: []string{metav1.DryRunAll}})
			if (err == nil) != want || err != nil && !apierrors.IsForbidden(err) {
				return fmt.Sprintf("a pod of %s at level %s: %v", component, level, err)
			}
			return ""
		})
	}
}

// expectSeen waits until an agent has the tags of a pod and of its container.
func (k *kubeWorld) expectSeen(a *agent.Agent, p *corev1.Pod, containers bool) {
	k.t.Helper()
	ids := []tagger.EntityID{tagger.KubernetesPod(string(p.UID))}
	if containers {
		ids = append(ids, tagger.Container(bareID(&p.Status.ContainerStatuses[0])))
	}
	eventually(k.t, func() string {
		refused, ill := forbidden(a)
		for _, id := range ids {
			tags, err := a.Tagger().Tag(id, tagger.HighCardinality)
			for _, want := range []string{"kube_namespace:" + k.ns, "pod_name:" + p.Name} {
				if err != nil || !slices.Contains(tags, want) {
					return fmt.Sprintf("%s has %q, %v; want %s; %+v, %v", id, tags, err, want,
						refused, ill)
				}
			}
		}
		if len(refused) > 0 {
			return fmt.Sprintf("%+v is forbidden", refused)
		}
		return ""
	})
}

// TestKubeLevels applies each manifest to a real API server, and runs an agent with the options,
// the account and so the rights of that manifest: each level sees what it should.
func TestKubeLevels(t *testing.T) {
	k := newKube(t)
	k.pod("seen", nil, shell("c", "while :; do sleep 1; done"))
	pod := k.await("seen", "ready", isReady)
	t.Setenv("POD_NAMESPACE", "rollcall")
	t.Setenv("POD_NAME", "rollcall-e2e")

	file, account := k.applied("node-full", "node")
	a, stop := k.run(k.configured(file, []string{"containerd", "kubelet", "process"},
		"containerd.address="+k.node.Containerd.Socket, "kubelet.pods_socket="+k.node.PodsSocket,
		"kubelet.url="+k.node.KubeletURL, "kubelet_client_ca="+k.node.KubeletCert,
		"kubelet_auth_token_path="+account.file, "kubernetes_kubelet_nodename="+k.node.Node))
	k.expectAdmitted("node", true)
	k.expectSeen(a, pod, true)
	eventually(t, func() string {
		c, err := a.Store().GetContainer(bareID(&pod.Status.ContainerStatuses[0]))
		if err != nil || c.PID == 0 {
			return fmt.Sprintf("the runtime says nothing of the container: %v, %v", c, err)
		}
		if _, err := a.Store().GetProcess(int32(c.PID)); err != nil {
			return "its process: " + err.Error()
		}
		return ""
	})
	stop()

	file, account = k.applied("node-api", "node")
	a, stop = k.run(k.configured(file, []string{"kubelet", "apiserver"},
		"kubernetes_kubeconfig_path="+account.kubeconfig(),
		"kubernetes_kubelet_nodename="+k.node.Node))
	k.expectAdmitted("node", false)
	k.expectSeen(a, pod, true)
	stop()

	file, account = k.applied("cluster", "cluster")
	a, stop = k.run(k.configured(file, []string{"apiserver"},
		"kubernetes_kubeconfig_path="+account.kubeconfig()))
	k.expectAdmitted("cluster", false)
	k.expectSeen(a, pod, false)
	stop()

	file, _ = k.applied("node-self", "node")
	k.expectAdmitted("node", false)
	expectSelf(t, file)
}

// expectSelf runs the program as the level that has nothing does: as nobody, without capabilities,
// in a namespace of process IDs of its own. It sees itself.
func expectSelf(t *testing.T, options string) {
	t.Helper()
	program := filepath.Join(filepath.Dir(options), "rollcall")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program,
		"../../cmd/rollcall").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--pid", "--fork", "--mount-proc", "setpriv",
		"--reuid=65532", "--regid=65532", "--clear-groups", "--bounding-set=-all",
		"--inh-caps=-all",
		program, "ls", "process", "--config", options, "--output", "json", "--cardinality", "high")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var list struct {
		Entities []struct {
			Name string
			Comm string
			Tags []string
		}
	}
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil || errs.Len() > 0 || len(list.Entities) == 0 || len(list.Entities) > 2 ||
		!slices.ContainsFunc(list.Entities, func(e struct {
			Name string
			Comm string
			Tags []string
		}) bool {
			return e.Comm == "rollcall"
		}) {
		t.Errorf("it sees %s, %v, %s", out, err, errs.String())
	}
}
