package apiserver

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/realnode"
)

// cluster is a real API server and somebody who may do everything there.
type cluster struct {
	*realnode.Kube

	t      *testing.T
	client *http.Client
	engine *collectortest.Engine
}

func realCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	realnode.RequireKube(t)
	c := &cluster{Kube: realnode.StartAPIServer(t, flags...), t: t}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
		MinVersion: tls.VersionTLS12}}
	c.client = &http.Client{Transport: transport, Timeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	return c
}

type values = map[string]any

// do makes a request, and returns the UID of the object that is answered.
func (c *cluster) do(method, path string, body any) string {
	c.t.Helper()
	var object struct{ Metadata struct{ UID string } }
	c.call(method, path, body, &object)
	return object.Metadata.UID
}

// may reports whether the server lets a user list what is asked for.
func (c *cluster) may(user string, a collection.Access) bool {
	c.t.Helper()
	var review struct{ Status struct{ Allowed bool } }
	c.call(http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews",
		values{"spec": values{"user": user, "resourceAttributes": values{"group": a.Group,
			"resource": a.Resource, "verb": "list"}}}, &review)
	return review.Status.Allowed
}

// call asks the server for something, and decodes its answer into to.
func (c *cluster) call(method, path string, body, to any) {
	c.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.URL+path,
		bytes.NewReader(data))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	request.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	response, err := c.client.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		c.t.Fatalf("%s %s: %s %s %v", method, path, response.Status, text, err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		c.t.Fatal(err)
	}
}

// create makes an object below a path, and returns its UID.
func (c *cluster) create(path, name string, content values) string {
	c.t.Helper()
	if content == nil {
		content = values{}
	}
	meta, ok := content["metadata"].(values)
	if !ok {
		meta = values{}
		content["metadata"] = meta
	}
	meta["name"] = name
	return c.do(http.MethodPost, path, content)
}

// follow starts a collector that asks as a user; "" is the one who may do everything.
func (c *cluster) follow(user string, resources ...string) {
	c.t.Helper()
	account := values{"token": c.Token}
	if user != "" {
		account["as"] = user
	}
	config, err := json.Marshal(values{"current-context": "x",
		"clusters": []values{{"name": "c", "cluster": values{"server": c.URL,
			"certificate-authority": c.CA}}},
		"users":    []values{{"name": "u", "user": account}},
		"contexts": []values{{"name": "x", "context": values{"cluster": "c", "user": "u"}}}})
	if err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(c.t.TempDir(), "config")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		c.t.Fatal(err)
	}
	collector, err := New(Options{Agent: collection.Cluster, Kubeconfig: file,
		Resources: resources})
	if err != nil {
		c.t.Fatal(err)
	}
	c.engine = collectortest.NewEngine(c.t, collector)
}

// eventually waits for what a working collector brings within a second.
func (c *cluster) eventually(what string, ok func() bool) time.Duration {
	c.t.Helper()
	began := time.Now()
	for ; !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 90*time.Second {
			c.t.Fatalf("still not: %s; %+v", what, c.engine.Status("apiserver").Parts)
		}
	}
	return time.Since(began)
}

func (c *cluster) part(name string) collection.Part {
	for _, p := range c.engine.Status("apiserver").Parts {
		if p.Name == name {
			return p
		}
	}
	return collection.Part{}
}

// shop makes a workload of everything that is followed.
func (c *cluster) shop() (pod string) {
	const core, shop = "/api/v1/namespaces", "/namespaces/shop/"
	c.create(core, "shop", values{"metadata": values{"labels": values{"team": "x"}}})
	c.create("/api/v1/nodes", "node-1", nil)
	yes := true
	containers := []values{{"name": "c", "image": "example.org/app:v1"}}
	pod = c.create("/api/v1"+shop+"pods", "web-6d4b75cb9-x", values{
		"metadata": values{"labels": values{"pod-template-hash": "6d4b75cb9"},
			"annotations": values{"kubectl.kubernetes.io/last-applied-configuration": "s3cr3t"},
			"ownerReferences": []values{{"apiVersion": "apps/v1", "kind": "ReplicaSet",
				"name": "web-6d4b75cb9", "uid": "u", "controller": yes}}},
		"spec": values{"nodeName": "node-1", "containers": containers}})
	template := values{"metadata": values{"labels": values{"app": "web"}},
		"spec": values{"containers": containers}}
	c.create("/apis/apps/v1"+shop+"deployments", "web", values{"spec": values{"template": template,
		"selector": values{"matchLabels": values{"app": "web"}}}})
	c.create("/api/v1"+shop+"services", "web", values{"spec": values{"selector": values{"app": "web"},
		"ports": []values{{"port": 80}}}})
	c.create("/apis/discovery.k8s.io/v1"+shop+"endpointslices", "web-1", values{
		"metadata":    values{"labels": values{"kubernetes.io/service-name": "web"}},
		"addressType": "IPv4", "endpoints": []values{{"addresses": []string{"10.0.0.7"},
			"conditions": values{"ready": true}, "nodeName": "node-1", "targetRef": values{
				"kind": "Pod", "namespace": "shop", "name": "web-6d4b75cb9-x", "uid": pod}}}})
	c.create("/apis/autoscaling/v2"+shop+"horizontalpodautoscalers", "web", values{"spec": values{
		"maxReplicas": 3, "scaleTargetRef": values{"apiVersion": "apps/v1",
			"kind": "Deployment", "name": "web"}}})
	job := values{"spec": values{"template": values{"spec": values{"restartPolicy": "Never",
		"containers": containers}}}}
	c.create("/apis/batch/v1"+shop+"cronjobs", "nightly", values{"spec": values{
		"schedule": "0 0 * * *", "jobTemplate": job}})
	return pod
}

// stored returns an entity of the store, nil if it is not there.
func stored[E workloadmeta.Entity](c *cluster, kind workloadmeta.Kind, id string) (e E) {
	found, err := c.engine.Store.Get(workloadmeta.EntityID{Kind: kind, ID: id})
	if err == nil {
		e, _ = found.(E)
	}
	return e
}

func (c *cluster) pod(uid string) *workloadmeta.KubernetesPod {
	return stored[*workloadmeta.KubernetesPod](c, workloadmeta.KindKubernetesPod, uid)
}

func (c *cluster) deployment() *workloadmeta.KubernetesDeployment {
	return stored[*workloadmeta.KubernetesDeployment](c, workloadmeta.KindKubernetesDeployment,
		"shop/web")
}

func (c *cluster) metadata(id string) *workloadmeta.KubernetesMetadata {
	return stored[*workloadmeta.KubernetesMetadata](c, workloadmeta.KindKubernetesMetadata, id)
}

// complete reports whether everything that shop has made is in the store.
func (c *cluster) complete(pod string) bool {
	p, d := c.pod(pod), c.deployment()
	service := stored[*workloadmeta.KubernetesService](c, workloadmeta.KindKubernetesService,
		"shop/web")
	ns := c.metadata("/namespaces//shop")
	return p != nil && d != nil && service != nil && ns != nil && ns.Labels["team"] == "x" &&
		fmt.Sprint(p.AutoscalerKinds, d.AutoscalerKinds, service.Pods) ==
			"[hpa] [hpa] ["+pod+"]" && p.Annotations == nil && p.QOSClass == "BestEffort" &&
		p.NodeName == "node-1" && c.metadata("batch/cronjobs/shop/nightly") != nil
}

var everything = []string{namespaces, nodes, deployments, pods, services, autoscalers,
	"batch/cronjobs"}

// TestReal follows a real API server, with streamed lists and without, through its changes and its
// absence.
func TestReal(t *testing.T) {
	for name, flags := range map[string][]string{
		"streamed": nil, "listed": {"--feature-gates=WatchList=false"}} {
		t.Run(name, func(t *testing.T) {
			c := realCluster(t, flags...)
			pod := c.shop()
			c.follow("", everything...)
			c.eventually("everything is there", func() bool { return c.complete(pod) })
			if p := c.part("verticalpodautoscalers.autoscaling.k8s.io"); p.State !=
				collection.StateWaiting || p.Cause != workloadmeta.CauseAbsent {
				t.Errorf("what the cluster does not have is %+v", p)
			}

			const path = "/api/v1/namespaces/shop/pods/web-6d4b75cb9-x"
			c.do(http.MethodPatch, path, values{"metadata": values{"labels": values{"v": "2"}}})
			took := c.eventually("a label is changed", func() bool {
				p := c.pod(pod)
				return p != nil && p.Labels["v"] == "2"
			})
			t.Logf("a label that is changed is in the store after %s", took)
			c.do(http.MethodPatch, "/api/v1/namespaces/shop",
				values{"metadata": values{"labels": values{"team": "y"}}})
			took = c.eventually("a namespace's label is changed", func() bool {
				n := c.metadata("/namespaces//shop")
				return n != nil && n.Labels["team"] == "y"
			})
			t.Logf("a namespace's label is in the store after %s", took)

			c.APIServer.Kill()
			c.eventually("status says that it is away", func() bool {
				return c.part("pods").State == collection.StateDegraded
			})
			if c.pod(pod) == nil {
				t.Error("the pod is gone")
			}
			c.APIServer.Restart()
			c.do(http.MethodDelete, path, values{"gracePeriodSeconds": 0})
			c.do(http.MethodDelete, "/apis/apps/v1/namespaces/shop/deployments/web", nil)
			c.eventually("what was deleted is gone", func() bool {
				return c.pod(pod) == nil && c.deployment() == nil
			})
			c.eventually("all go on", func() bool {
				return !slices.ContainsFunc(c.engine.Status("apiserver").Parts,
					func(p collection.Part) bool { return p.State == collection.StateDegraded })
			})
		})
	}
}

// TestRealRights: the rights that the collector says it needs are enough, and of one that is taken
// away status says which it is, and nothing else is missing.
func TestRealRights(t *testing.T) {
	c := realCluster(t)
	pod := c.shop()
	role := func(without string) values {
		var rules []values
		for _, a := range asksFor(t, Options{Resources: everything},
			collection.Deps{Agent: collection.Cluster}) {
			if a.Resource != without {
				rules = append(rules, values{"apiGroups": []string{a.Group},
					"resources": []string{a.Resource}, "verbs": a.Verbs})
			}
		}
		return values{"metadata": values{"name": "reader"}, "rules": rules}
	}
	const roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
	c.create(roles, "reader", role(""))
	c.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "reader", values{
		"roleRef": values{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
			"name": "reader"},
		"subjects": []values{{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
			"name": "reader"}}})
	c.follow("reader", everything...)
	c.eventually("everything is there", func() bool { return c.complete(pod) })
	for _, a := range asksFor(t, Options{Resources: everything},
		collection.Deps{Agent: collection.Cluster}) {
		if a.Resource == "verticalpodautoscalers" {
			continue // the cluster does not have them
		}
		t.Run(a.Resource, func(t *testing.T) {
			c := &cluster{Kube: c.Kube, t: t, client: c.client}
			c.do(http.MethodPut, roles+"/reader", role(a.Resource))
			for c.may("reader", a) { // the server hears of the role a moment later
				time.Sleep(5 * time.Millisecond)
			}
			c.follow("reader", everything...)
			name := strings.TrimSuffix(a.Resource+"."+a.Group, ".")
			c.eventually("status names the right", func() bool {
				p := c.part(name)
				return p.Cause == workloadmeta.CauseForbidden &&
					strings.Contains(p.Hint, "grant list and watch "+name)
			})
			c.eventually("the others are there", func() bool {
				return !slices.ContainsFunc(c.engine.Status("apiserver").Parts,
					func(p collection.Part) bool {
						return p.Name != name && p.State == collection.StateDegraded
					}) && c.engine.Status("apiserver").Entities > 0
			})
			c.do(http.MethodPut, roles+"/reader", role(""))
			c.eventually("it comes with the right", func() bool { return c.complete(pod) })
		})
	}
}
