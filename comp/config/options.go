package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Option describes one option.
type Option struct {
	Name    string // "docker.host"
	Type    string // for people: "text", "duration", "map: text to text", …
	Default string // as it would stand in a file
	Doc     string // one or more sentences
	// Env are the environment variables that set it.
	Env []string
	// Flag is the flag of the command line that sets it, without dashes; "" = none.
	Flag string

	typ      reflect.Type
	unit     string // of a number
	fallback any
	targets  []target
}

// target is a field that an option sets.
type target struct {
	owner   int    // 0: Config, else the number of the collector, from 1
	index   []int  // of the field
	is      string // the field says whether the option has this value; "" = it is the value
	address bool   // setting it asks for the collector
	env     string // the collector reads this variable where the option is not set
}

// entry is what cannot be read off the struct: the meaning. A Datadog agent knows an option
// of this name if datadog is set; its DD_ variable is then accepted.
type entry struct {
	name    string
	datadog bool
	doc     string
}

const mapping = ` Keys with a "*" are globs; case does not matter. The value is a list of tag names separated by commas; a "+" before one makes it high cardinality.`

const filters = ` In the environment items are separated by blanks, because expressions have commas.`

// entries are all options but those of collectors, in the order of the documentation.
var entries = []entry{
	{"container_labels_as_tags", true,
		`Container and image labels that become tags: label to tag name.` + mapping},
	{"docker_labels_as_tags", true,
		`The same under its older name; for a label that is in both, this one wins.`},
	{"container_env_as_tags", true,
		`Environment variables of containers that become tags: variable to tag name. Only these and a few well-known variables are ever read.` + mapping},
	{"docker_env_as_tags", true,
		`The same under its older name; for a variable that is in both, this one wins.`},
	{"kubernetes_pod_labels_as_tags", true,
		`Pod labels that become tags of the pod and its containers.` + mapping},
	{"kubernetes_pod_annotations_as_tags", true, `The same for annotations.`},
	{"kubernetes_namespace_labels_as_tags", true,
		`Namespace labels that become tags of the namespace, its pods and their containers.` +
			mapping},
	{"kubernetes_namespace_annotations_as_tags", true, `The same for annotations.`},
	{"kubernetes_node_labels_as_tags", true,
		`Node labels that become tags of the node, its pods and their containers.` + mapping},
	{"kubernetes_node_annotations_as_tags", true, `The same for annotations.`},
	{"kubernetes_resources_labels_as_tags", true,
		`Labels of any Kubernetes resource that become tags: resource ("pods", "deployments.apps", "<plural>.<group>") to a map as above, as a map or as a text with JSON. It is united with the options above and wins over them.`},
	{"kubernetes_resources_annotations_as_tags", true, `The same for annotations.`},
	{"kubernetes_persistent_volume_claims_as_tags", true,
		`Whether pods of stateful sets get persistentvolumeclaim tags.`},
	{"kubernetes_ad_tags_disabled", true,
		`Tags that pods do not get; only kube_service is understood.`},
	{"tag_value_split_separator", true,
		`Splits the values of tags: tag name to separator. Each piece becomes a tag of that name.`},
	{"ecs_collect_resource_tags_ec2", true,
		`Whether the AWS tags of ECS tasks and container instances become tags.`},
	{"ecs_resource_tags_replace_colon", true,
		`Whether colons in the names of AWS tags become underscores.`},
	{"disable_cluster_name_tag_key", true,
		`Leaves out cluster_name, which ecs_cluster_name repeats.`},
	{"rules", false,
		`Rules about containers and tags, in order; the last that applies wins. They come after what the options above and below mean, which are rules as well. See rules.md.`},
	{"container_exclude", true,
		`Containers that are left out of lists and by consumers: "image:", "name:" or "kube_namespace:" and a regular expression that may match anywhere. Their tags are still known.` + filters},
	{"container_include", true,
		`Containers that are not left out although container_exclude matches.`},
	{"container_exclude_metrics", true, `The same for metrics only, beside container_exclude.`},
	{"container_include_metrics", true, `The same for metrics only.`},
	{"container_exclude_logs", true, `The same for logs only, beside container_exclude.`},
	{"container_include_logs", true, `The same for logs only.`},
	{"ac_exclude", true, `Older name of container_exclude; counts if that is empty.`},
	{"ac_include", true, `Older name of container_include; counts if that is empty.`},
	{"tags", true,
		`Tags of this machine, "name:value" each. Where a machine has no identity of its own (ECS Fargate, EKS Fargate) every container and pod carries them.`},
	{"extra_tags", true, `More of the same.`},
	{"cluster_name", true, `Name of the Kubernetes cluster.`},
	{"enabled_rfc1123_compliant_cluster_name_tag", true,
		`Whether "_" in the cluster's name becomes "-".`},
	{"eks_fargate", true, `Says that this runs on EKS Fargate, which cannot be seen from inside.`},
	{"kubernetes_kubelet_nodename", true,
		`Name of the node, for which its kubelet's certificate may be instead of the address that was asked, and for eks_fargate_node. Empty: for the certificate, from the variables NODE_NAME, KUBE_NODE_NAME and K8S_NODE_NAME.`},
	{"orchestrator_cluster_id", true,
		`ID of the cluster (36 characters), for orch_cluster_id on EKS Fargate.`},
	{"ecs_task_collection_enabled", true,
		`Whether ECS tasks are collected with all that the metadata service knows. Accepted; without effect until there is an ECS collector.`},
	{"kubernetes_metadata_tag_update_freq", true,
		`How often metadata of Kubernetes objects is refreshed. Accepted; without effect until there is an API server collector.`},
	{"exclude_pause_container", true, `Whether the pause containers of pods are left out.`},
	{"container_image.enabled", true, `Whether images are collected.`},
	{"checks_tag_cardinality", true,
		`Cardinality of the tags that checks get. Accepted; without effect in this program.`},
	{"dogstatsd_tag_cardinality", true,
		`Cardinality where a sender of telemetry does not ask for one.`},
	{"dogstatsd_entity_id_precedence", true, `Accepted; without effect in this program.`},
	{"dogstatsd_origin_optout_enabled", true,
		`Accepted; without effect in this program: opting out always works.`},
	{"origin_detection_unified", true,
		`Accepted; without effect in this program: detection is always unified.`},
	{"agent_type", false,
		`Type of this agent, which decides what it collects: node (one on each machine, for what runs there), cluster (one for what a cluster as a whole knows) or remote (has everything from another).`},
	{"retention.grace", false, `How long the tags of what is gone are kept. 0: not at all.`},
	{"retention.max_tombstones", false, `How many that are gone are kept at most. 0: none.`},
	{"proc_root", false,
		`Where the machine's /proc is mounted. Empty: /proc, or /host/proc in a container that has it.`},
}

var (
	typeDuration    = reflect.TypeFor[time.Duration]()
	typeSwitch      = reflect.TypeFor[collection.Switch]()
	typeAgent       = reflect.TypeFor[collection.Agent]()
	typeCardinality = reflect.TypeFor[tagger.TagCardinality]()
	typeList        = reflect.TypeFor[[]string]()
	typeFilters     = reflect.TypeFor[Filters]()
	typeRules       = reflect.TypeFor[[]rules.Rule]()
	typeMap         = reflect.TypeFor[map[string]string]()
	typeMaps        = reflect.TypeFor[map[string]map[string]string]()
)

func typeName(t reflect.Type) string {
	switch t {
	case typeDuration:
		return "duration"
	case typeSwitch:
		return "auto, on or off"
	case typeAgent:
		return "node, cluster or remote"
	case typeCardinality:
		return "low, orchestrator or high"
	case typeList:
		return "list of texts"
	case typeFilters:
		return "list of filters"
	case typeRules:
		return "list of rules"
	case typeMap:
		return "map: text to text"
	case typeMaps:
		return "map of maps, or JSON text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	}
	panic(fmt.Sprintf("config: no name for the type %s", t))
}

// inline writes a value the way it may stand on one line of a YAML file.
func inline(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return duration(v)
	case collection.Agent:
		return string(v)
	case fmt.Stringer:
		return v.String()
	case []string:
		if v == nil {
			return "[]"
		}
	case Filters:
		if v == nil {
			return "[]"
		}
	case []rules.Rule:
		if v == nil {
			return "[]"
		}
	case map[string]string:
		if v == nil {
			return "{}"
		}
	case map[string]map[string]string:
		if v == nil {
			return "{}"
		}
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // people read this
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("config: write %T: %v", v, err)) // no type of ours fails
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// duration is Duration.String without zeros at the end: "5m" for "5m0s".
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
