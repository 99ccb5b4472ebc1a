package kubeapi_test

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

const leasePath = "/apis/coordination.k8s.io/v1/namespaces/tools/leases"

func leaseOf(name, version string, labels ...string) kubeapi.Lease {
	l := kubeapi.Lease{Metadata: kubeapi.LeaseMeta{Namespace: "tools", Name: name,
		ResourceVersion: version, Annotations: map[string]string{"a": "b"}},
		Spec: kubeapi.LeaseSpec{HolderIdentity: name, LeaseDurationSeconds: 30,
			RenewTime: kubeapi.MicroTime(time.Unix(1_800_000_000, 123_456_000))}}
	for _, label := range labels {
		l.Metadata.Labels = map[string]string{"group": label}
	}
	return l
}

func TestLeases(t *testing.T) {
	server := fakekube.New(leasePath)
	client := kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, server.Client())
	ctx := t.Context()
	for _, l := range []kubeapi.Lease{leaseOf("a", "", "x"), leaseOf("b", "", "y")} {
		if err := client.PutLease(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.PutLease(ctx, leaseOf("a", "", "x")); !kubeapi.Conflict(err) {
		t.Errorf("a lease is made twice: %v", err)
	}
	list, err := client.Leases(ctx, "tools", "group=x")
	if err != nil || len(list) != 1 || list[0].Metadata.Name != "a" ||
		list[0].Metadata.Annotations["a"] != "b" || list[0].Spec.LeaseDurationSeconds != 30 ||
		list[0].Spec.RenewTime != "2027-01-15T08:00:00.123456Z" {
		t.Fatalf("%+v, %v", list, err)
	}
	version := list[0].Metadata.ResourceVersion
	if err := client.PutLease(ctx, leaseOf("a", version, "x")); err != nil {
		t.Error(err)
	}
	if err := client.PutLease(ctx, leaseOf("a", version, "x")); !kubeapi.Conflict(err) {
		t.Errorf("a lease is written over one that is newer: %v", err)
	}
	for range 2 {
		if err := client.DeleteLease(ctx, "tools", "a"); err != nil {
			t.Error(err)
		}
	}
	if list, err := client.Leases(ctx, "tools", "group=x"); err != nil || len(list) != 0 {
		t.Errorf("after its end: %v, %v", list, err)
	}
}

// A right that is missing is named.
func TestForbiddenLeases(t *testing.T) {
	server := fakekube.New(leasePath)
	server.Fault(func(*http.Request) *metav1.Status {
		return fakekube.Status(403, metav1.StatusReasonForbidden, "no")
	})
	client := kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, server.Client())
	for verb, do := range map[string]func() error{
		"list": func() error {
			_, err := client.Leases(t.Context(), "tools", "group=x")
			return err
		},
		"create": func() error { return client.PutLease(t.Context(), leaseOf("a", "")) },
		"update": func() error { return client.PutLease(t.Context(), leaseOf("a", "1")) },
		"delete": func() error { return client.DeleteLease(t.Context(), "tools", "a") },
	} {
		p := workloadmeta.ProblemOf(do())
		if p.Cause != workloadmeta.CauseForbidden ||
			!strings.HasPrefix(p.Hint, "grant "+verb+" leases.coordination.k8s.io") {
			t.Errorf("%s: %+v", verb, p)
		}
	}
}

func TestWhichPodThisIs(t *testing.T) {
	root := t.TempDir()
	t.Setenv("POD_NAMESPACE", "")
	t.Setenv("POD_NAME", "")
	if _, _, err := (kubeapi.Options{Root: root}).Self(); workloadmeta.CauseOf(err) !=
		workloadmeta.CauseAbsent {
		t.Errorf("outside of a pod: %v", err)
	}
	if err := os.MkdirAll(root+folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+folder+"namespace", []byte("tools\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	namespace, name, err := kubeapi.Options{Root: root}.Self()
	if namespace != "tools" || name != host || err != nil {
		t.Errorf("by files: %s, %s, %v", namespace, name, err)
	}
	t.Setenv("POD_NAMESPACE", "other")
	t.Setenv("POD_NAME", "pod-1")
	if namespace, name, err = (kubeapi.Options{}).Self(); namespace != "other" ||
		name != "pod-1" || err != nil {
		t.Errorf("by variables: %s, %s, %v", namespace, name, err)
	}
}
