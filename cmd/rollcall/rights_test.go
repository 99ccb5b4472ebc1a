package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-dev/rollcall/test/fakekube"
)

// A pod whose namespace and services may not be listed is complete, and explain names the rights.
// So does ls where it finds none of them.
func TestRightsAreNamed(t *testing.T) {
	const pods = "/api/v1/pods"
	server := fakekube.New(pods)
	server.Put(pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p5",
		UID: "u5"}})
	server.Fault(func(r *http.Request) *metav1.Status {
		if strings.HasPrefix(r.URL.Path, "/api/v1/") && r.URL.Path != pods {
			return fakekube.Status(403, metav1.StatusReasonForbidden, "forbidden")
		}
		return nil
	})
	api := httptest.NewServer(server)
	defer api.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(`{"current-context": "c",
"contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
"clusters": [{"name": "k", "cluster": {"server": "`+api.URL+`"}}],
"users": [{"name": "u", "user": {}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string][]string{
		"": {"complete: every source that could be asked has reported it\n",
			"namespace shop is not known: collector apiserver: namespaces is degraded: ",
			"grant list and watch namespaces",
			"not all of its services may be known: collector apiserver: services is degraded: ",
			"grant list and watch services"},
		"team": {"team: nothing that makes it is known; namespace shop is not known: ",
			"grant list and watch namespaces"},
		"kube_service": {"kube_service: nothing that makes it is known; not all of its services ",
			"grant list and watch services"},
	} {
		r := rollcall(t, append([]string{"explain", "po/p5", "--agent-type", "cluster",
			"--set", "kubernetes_kubeconfig_path=" + kubeconfig,
			"--set", `kubernetes_namespace_labels_as_tags={"team": "team"}`},
			strings.Fields(args)...)...)
		for _, text := range want {
			if r.code != 0 || !strings.Contains(r.out, text) {
				t.Errorf("explain po/p5 %s: exit code %d, %s\n%s\nwant %q", args, r.code, r.err,
					r.out, text)
			}
		}
	}
	for kind, want := range map[string]string{"svc": "grant list and watch services",
		"ns": "grant list and watch namespaces"} {
		r := rollcall(t, "ls", kind, "--agent-type", "cluster", "--set",
			"kubernetes_kubeconfig_path="+kubeconfig)
		if r.code != 3 || !strings.Contains(r.err, want) {
			t.Errorf("ls %s: exit code %d, %q, want %q", kind, r.code, r.err, want)
		}
	}
}
