package apiserver

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
)

// What is followed as more than metadata, or in several resources.
const (
	pods        = "pods"
	nodes       = "nodes"
	namespaces  = "namespaces"
	deployments = "deployments"
	services    = "services"
	autoscalers = "autoscalers"

	resourceSlices = "resourceslices"
)

// target is what somebody asks for.
type target struct {
	name string // of a constant, or "" for the metadata of gvr
	gvr  workloadmeta.GroupVersionResource
}

// The resources that are asked.
var (
	podResource        = workloadmeta.GroupVersionResource{Version: "v1", Resource: pods}
	deploymentResource = workloadmeta.GroupVersionResource{Group: "apps", Version: "v1",
		Resource: deployments}
	serviceResource = workloadmeta.GroupVersionResource{Version: "v1", Resource: services}
	sliceResource   = workloadmeta.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1",
		Resource: "endpointslices"}
	horizontalResource = workloadmeta.GroupVersionResource{Group: "autoscaling", Version: "v2",
		Resource: "horizontalpodautoscalers"}
	verticalResource = workloadmeta.GroupVersionResource{Group: "autoscaling.k8s.io",
		Version: "v1", Resource: "verticalpodautoscalers"}
	deviceResource = workloadmeta.GroupVersionResource{Group: "resource.k8s.io", Version: "v1",
		Resource: resourceSlices}
)

// denied are resources that nobody may ask for: what is in them is secret, or of no use and large.
var denied = []workloadmeta.GroupVersionResource{{Resource: "secrets"}, {Resource: "configmaps"},
	{Resource: "events"}, {Group: "events.k8s.io", Resource: "events"}}

// parseTargets reads what is asked for.
func parseTargets(list []string, agent collection.Agent) ([]target, error) {
	if len(list) == 0 && agent == collection.Cluster {
		list = []string{namespaces, nodes, deployments, pods, services, autoscalers}
	}
	var out []target
	for _, text := range list {
		t, err := parseTarget(text)
		if err == nil {
			err = t.exists()
		}
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(out, t.same)
		switch {
		case i < 0:
			out = append(out, t)
		case out[i].gvr.Version != t.gvr.Version:
			return nil, fmt.Errorf("%s is asked for in two versions, %s and %s",
				kubeapi.Name(t.gvr), cmp.Or(out[i].gvr.Version, "the preferred one"),
				cmp.Or(t.gvr.Version, "the preferred one"))
		}
	}
	return out, nil
}

var errForm = errors.New("want resource, group/resource or group/version/resource")

// parseTarget reads one resource. A slash at the beginning is the core's.
func parseTarget(text string) (target, error) {
	parts := strings.Split(strings.TrimPrefix(text, "/"), "/")
	var gvr workloadmeta.GroupVersionResource
	switch len(parts) {
	case 1:
		gvr.Resource = parts[0]
	case 2:
		gvr.Group, gvr.Resource = parts[0], parts[1]
	case 3:
		gvr.Group, gvr.Version, gvr.Resource = parts[0], parts[1], parts[2]
	default:
		return target{}, fmt.Errorf("%q: %w", text, errForm)
	}
	if gvr.Group == "v1" && len(parts) == 2 {
		gvr.Group = "" // as it is written in manifests
	}
	if gvr.Group == "core" {
		gvr.Group = "" // as it is called in documentation
	}
	if gvr.Resource == "" || strings.ToLower(text) != text || strings.ContainsAny(text, " ?#%") ||
		slices.Contains(parts[:len(parts)-1], "") {
		return target{}, fmt.Errorf("%q: %w, in lower case", text, errForm)
	}
	if slices.Contains(denied, workloadmeta.GroupVersionResource{Group: gvr.Group,
		Resource: gvr.Resource}) {
		return target{}, fmt.Errorf("%s are never collected", kubeapi.Name(gvr))
	}
	if len(parts) == 1 && slices.Contains([]string{deployments, autoscalers,
		resourceSlices}, gvr.Resource) {
		return target{name: gvr.Resource}, nil
	}
	switch kubeapi.Name(gvr) {
	case "deployments.apps":
		return target{name: deployments}, nil
	case "resourceslices.resource.k8s.io":
		return target{name: resourceSlices}, nil
	case pods, nodes, namespaces, services:
		return target{name: gvr.Resource}, nil
	}
	if gvr.Group == "" {
		gvr.Version = "v1"
	}
	return target{gvr: gvr}, nil
}

// The resources of the core that can be watched, but for those that are denied, and the groups
// whose names have no dot. Neither of the two lists grows.
var (
	coreResources = []string{"endpoints", "limitranges", namespaces, nodes,
		"persistentvolumeclaims", "persistentvolumes", pods, "podtemplates",
		"replicationcontrollers", "resourcequotas", "serviceaccounts", services}
	shortGroups = []string{"", "apps", "autoscaling", "batch", "extensions", "policy"}
)

var version = regexp.MustCompile(`^(v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?)?$`)

// exists returns an error if no API server can have the target.
func (t target) exists() error {
	if t.name != "" {
		return nil
	}
	name, plural := t.gvr.Resource, t.gvr.Resource+"s"
	switch {
	case t.gvr.Group == "" && (slices.Contains(coreResources, plural) ||
		slices.Contains([]string{deployments, autoscalers, resourceSlices}, plural)),
		t.gvr.Group == deploymentResource.Group && plural == deployments:
		return fmt.Errorf("there is no resource %q; want %s", name, plural)
	case t.gvr.Group == "" && !slices.Contains(coreResources, name):
		return fmt.Errorf("there is no resource %q in the core of the API, which has %s; "+
			"of others give the group, too, as in batch/cronjobs", name,
			strings.Join(coreResources, ", "))
	case !strings.Contains(t.gvr.Group, ".") && !slices.Contains(shortGroups, t.gvr.Group):
		return fmt.Errorf("%q is no group of an API, and subresources cannot be followed: %w",
			t.gvr.Group, errForm)
	case !version.MatchString(t.gvr.Version):
		return fmt.Errorf("%q is no version of an API: %w", t.gvr.Version, errForm)
	}
	return nil
}

// same reports whether both ask for one resource, maybe in two versions.
func (t target) same(o target) bool {
	return o.name == t.name && o.gvr.Group == t.gvr.Group && o.gvr.Resource == t.gvr.Resource
}

// resources returns what has to be asked for a target. Of a group without a version the server
// says which one it prefers.
func (t target) resources() []workloadmeta.GroupVersionResource {
	switch t.name {
	case "":
		return []workloadmeta.GroupVersionResource{t.gvr}
	case deployments:
		return []workloadmeta.GroupVersionResource{deploymentResource}
	case services:
		return []workloadmeta.GroupVersionResource{serviceResource, sliceResource}
	case autoscalers:
		return []workloadmeta.GroupVersionResource{horizontalResource, verticalResource}
	case resourceSlices:
		return []workloadmeta.GroupVersionResource{deviceResource}
	}
	return []workloadmeta.GroupVersionResource{{Version: "v1", Resource: t.name}}
}

// kind returns that of the entities which the target gives; 0 = none of its own.
func (t target) kind() workloadmeta.Kind {
	switch t.name {
	case pods:
		return workloadmeta.KindKubernetesPod
	case deployments:
		return workloadmeta.KindKubernetesDeployment
	case services:
		return workloadmeta.KindKubernetesService
	case resourceSlices:
		return workloadmeta.KindGPU
	case autoscalers:
		return 0
	}
	return workloadmeta.KindKubernetesMetadata
}

// why says for documentation what a resource is asked for.
func why(r workloadmeta.GroupVersionResource, o Options) string {
	switch r {
	case podResource:
		if o.node() {
			return "pods of the node"
		}
		return "pods of the cluster"
	case deviceResource:
		return "which GPUs the devices of dynamic resource allocation are"
	case sliceResource:
		return "the pods behind services"
	case horizontalResource, verticalResource:
		return "what is scaled by itself"
	case serviceResource:
		return "services"
	}
	return "names, labels and annotations of " + r.Resource
}
