package apiserver

import (
	"cmp"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
)

// Options change how the collector works. The zero value is that of a node, where nothing is asked
// for.
type Options struct {
	// Kubeconfig says where the API server is and who asks. Empty: the pod's own account.
	Kubeconfig string `config:"/kubernetes_kubeconfig_path,datadog,address" doc:"File that says where the API server is and who asks. Empty: the account of the pod."`
	// CA is a file of certificates that may have signed the server's.
	CA string `config:"/kubernetes_apiserver_ca_path,datadog" doc:"File of certificates that may have signed the API server's. Empty: as the kubeconfig or the pod's account says."`
	// SkipVerify accepts any certificate of the server.
	SkipVerify bool `config:"tls_skip_verify" default:"false" doc:"Accept any certificate of the API server. The token goes to whoever answers."`
	// Resources are followed: namespaces, nodes, deployments, pods, services, autoscalers, and
	// others as metadata, beside Tagged. Default: those of the type of agent, for a node none.
	Resources []string `config:"resources,address" doc:"What is asked of the API server: namespaces, nodes, deployments, pods, services, autoscalers, resourceslices (the UUIDs of GPUs of dynamic resource allocation), and any other resource as metadata: resource, group/resource or group/version/resource, such as batch/cronjobs. Empty: the first six where the agent is one of the cluster, nothing on a node. Those of whose labels or annotations tags are made (kubernetes_namespace_labels_as_tags and the like) are asked for in any case, on a node namespaces and the node itself. On a node pods are those of the node, and nodes is the node itself."`
	// NodeName is the node's name. Empty: from NODE_NAME, KUBE_NODE_NAME or K8S_NODE_NAME.
	NodeName string `config:"/kubernetes_kubelet_nodename"`
	// DirectSlices lets a node follow the services of the whole cluster.
	DirectSlices bool `config:"allow_direct_slices" default:"false" doc:"Let an agent on a node follow the services of the whole cluster, where it is asked for services: the API server cannot tell it of those of the node alone. Only for clusters of up to some 50 nodes."`
	// ServiceWhen says when a pod is a service's: "member" or "ready".
	ServiceWhen string `config:"/kube_service_when" default:"member" doc:"When a pod has the tag kube_service: member (from when it was ready once, for as long as the service lists it) or ready (only while it is ready)."`
	// Share divides the pods between the replicas of an agent of the cluster.
	Share bool `config:"share" default:"false" doc:"Divide the pods of the cluster between the replicas of this agent: each follows those of its own nodes, and keeps a lease by which it knows the others. For agents of the cluster, which have to ask for nodes, too."`
	// ShareGroup names those replicas in a namespace that share with each other. Default: pods.
	ShareGroup string `config:"share_group" default:"pods" doc:"By this the replicas of one agent know each other: those in one namespace that have the same divide the pods between them. Two agents in one namespace need two. The chart gives the name of its workload. A value of a label: up to 63 letters, digits, '-', '_' and '.'."`

	// Tagged are further resources, as in rules ("deployments.apps"), of whose labels and
	// annotations somebody makes tags. On a node those of namespaces and of the node itself count.
	// Those that are never collected, or cannot be on this node, are left out.
	Tagged []string
	// Agent is the type of the program. Default: Node.
	Agent collection.Agent
	// Root is the folder in which the account's files are looked for. Default: /.
	Root string
	// Log receives what a person might want to know. Default: nothing is logged.
	Log *slog.Logger
}

// The policies of [Options.ServiceWhen].
const (
	whenMember = "member"
	whenReady  = "ready"
)

// labelValue is what a label may have for a value, but for none.
var labelValue = regexp.MustCompile(`^[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$`)

// node reports whether only what is on one node counts.
func (o *Options) node() bool { return o.Agent == collection.Node }

func (o *Options) server() kubeapi.Options {
	return kubeapi.Options{Kubeconfig: o.Kubeconfig, CA: o.CA, SkipVerify: o.SkipVerify,
		Root: o.Root}
}

// withDefaults fills in what is not set and refuses what makes no sense.
func (o Options) withDefaults() (Options, []target, error) {
	bad := func(field, format string, args ...any) (Options, []target, error) {
		return o, nil, &collection.OptionError{Collector: "apiserver", Field: field,
			Err: fmt.Errorf(format, args...)}
	}
	o.Agent = cmp.Or(o.Agent, collection.Node)
	o.ServiceWhen = cmp.Or(o.ServiceWhen, whenMember)
	if o.ServiceWhen != whenMember && o.ServiceWhen != whenReady {
		return bad("ServiceWhen", "it is %q; want member or ready", o.ServiceWhen)
	}
	o.ShareGroup = cmp.Or(o.ShareGroup, pods)
	if !labelValue.MatchString(o.ShareGroup) {
		return bad("ShareGroup", "%q is no value of a label", o.ShareGroup)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.node() {
		name, err := kubeapi.NodeName(o.NodeName)
		if err != nil {
			return bad("NodeName", "%w", err)
		}
		o.NodeName = name
	}
	targets, err := o.targets()
	if err != nil {
		return bad("Resources", "%w", err)
	}
	for _, t := range targets {
		switch {
		case o.Share && !o.node() && t.name == pods && !slices.ContainsFunc(targets,
			func(t target) bool { return t.name == nodes }):
			return bad("Share", "pods are shared by nodes, and nodes are not asked for")
		case o.node() && o.NodeName == "" && (t.name == pods || t.name == nodes):
			return bad("NodeName",
				"%s of a node are asked for, and its name is not known: give it "+
					"NODE_NAME from spec.nodeName", t.name)
		case o.node() && !o.DirectSlices && t.name == services:
			return bad("DirectSlices",
				"services are asked for on a node, which has to be allowed: "+
					"each node would follow those of the whole cluster")
		}
	}
	return o, targets, nil
}

// targets returns all that is asked for.
func (o *Options) targets() ([]target, error) {
	out, err := parseTargets(o.Resources, o.Agent)
	if err != nil {
		return nil, err
	}
	for _, resource := range o.Tagged {
		name, group, _ := strings.Cut(resource, ".")
		t, err := parseTarget(group + "/" + name)
		if err != nil || o.node() && t.name != namespaces &&
			(t.name != nodes || o.NodeName == "") {
			continue
		}
		if !slices.ContainsFunc(out, t.same) {
			out = append(out, t)
		}
	}
	return out, nil
}
