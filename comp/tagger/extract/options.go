package extract

import (
	"fmt"

	"github.com/rollcall-dev/rollcall/comp/rules"
)

// Options are the user's choices that decide which tags are made. The tags of
// the fields are the names of the options in the configuration.
//
// Options whose name ends in "as_tags" and that are maps hold, for a key of the
// metadata, a list of tag names separated by commas. Keys are compared without regard
// to case; a key with a "*" is a glob ("*", "?", "[…]", "{a,b}"; "*" also matches "/"
// and "."). All keys that match apply. In a tag name, %%label%%, %%annotation%% and
// %%env%% stand for the metadata's key as it is spelt there; a leading "+" gives the
// tag high cardinality instead of low.
//
// The zero value is useful; [DefaultOptions] is what a configuration starts from.
type Options struct {
	// Labels of containers and images. For a key that is in both, docker wins.
	DockerLabelsAsTags    map[string]string `config:"docker_labels_as_tags"`
	ContainerLabelsAsTags map[string]string `config:"container_labels_as_tags"`
	// Environment variables of containers. For a key that is in both, docker wins.
	// They have an effect only on variables that the collectors let through: see EnvNames.
	DockerEnvAsTags    map[string]string `config:"docker_env_as_tags"`
	ContainerEnvAsTags map[string]string `config:"container_env_as_tags"`

	KubernetesPodLabelsAsTags            map[string]string `config:"kubernetes_pod_labels_as_tags"`
	KubernetesPodAnnotationsAsTags       map[string]string `config:"kubernetes_pod_annotations_as_tags"`
	KubernetesNamespaceLabelsAsTags      map[string]string `config:"kubernetes_namespace_labels_as_tags"`
	KubernetesNamespaceAnnotationsAsTags map[string]string `config:"kubernetes_namespace_annotations_as_tags"`
	KubernetesNodeLabelsAsTags           map[string]string `config:"kubernetes_node_labels_as_tags"`
	KubernetesNodeAnnotationsAsTags      map[string]string `config:"kubernetes_node_annotations_as_tags"`
	// By resource: "pods", "nodes", "namespaces", "deployments.apps", "<plural>.<group>";
	// a trailing dot is dropped. They are united with the options above; for a key that
	// is in both, these win.
	KubernetesResourcesLabelsAsTags      map[string]map[string]string `config:"kubernetes_resources_labels_as_tags"`
	KubernetesResourcesAnnotationsAsTags map[string]map[string]string `config:"kubernetes_resources_annotations_as_tags"`

	// KubernetesPersistentVolumeClaimsAsTags makes persistentvolumeclaim tags for the
	// pods of stateful sets. Default: true.
	KubernetesPersistentVolumeClaimsAsTags bool `config:"kubernetes_persistent_volume_claims_as_tags"`
	// KubernetesADTagsDisabled names tags that pods do not get; only "kube_service"
	// is understood.
	KubernetesADTagsDisabled []string `config:"kubernetes_ad_tags_disabled"`

	// TagValueSplitSeparator splits values: tag name → separator. Each piece becomes a
	// tag of that name.
	TagValueSplitSeparator map[string]string `config:"tag_value_split_separator"`

	// ECSCollectResourceTagsEC2 makes tags of the AWS tags of tasks and container instances.
	ECSCollectResourceTagsEC2 bool `config:"ecs_collect_resource_tags_ec2"`
	// ECSResourceTagsReplaceColon replaces colons in their names by underscores.
	ECSResourceTagsReplaceColon bool `config:"ecs_resource_tags_replace_colon"`
	// DisableClusterNameTagKey leaves out cluster_name, which ecs_cluster_name repeats.
	DisableClusterNameTagKey bool `config:"disable_cluster_name_tag_key"`

	// Rules come after what the options above mean, which are rules as well: the last that
	// applies wins. Those that exclude and include containers change no tags; they are in
	// [Extractor.Rules] for who asks.
	Rules []rules.Rule `config:"rules"`
	// Where, if set, says where an entry of a map option is written, for explanations.
	Where func(option, key string) string `config:"-"`

	// StaticTags are complete tags for every container and pod: what [StaticTags] returns.
	StaticTags []string `config:"-"`
	// ECSSidecar says that this process runs beside one task on ECS managed instances
	// and not once per instance; that task's tags are then global.
	ECSSidecar bool `config:"-"`
	// LookupEnv resolves %%env_NAME%% in annotations with tags. nil resolves nothing.
	// It must always give the same answers. Whoever may annotate a pod chooses the name
	// and sees the value as a tag: never pass [os.LookupEnv], which has this process's
	// secrets, but a short list.
	LookupEnv func(name string) (value string, ok bool) `config:"-"`
}

// KeyError says what is wrong with one key of a map option.
type KeyError struct {
	Option, Key string
	Err         error
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("option %s: key %q: %v", e.Option, e.Key, e.Err)
}

// Unwrap returns Err.
func (e *KeyError) Unwrap() error { return e.Err }

// DefaultOptions returns what a configuration starts from.
func DefaultOptions() Options {
	return Options{
		KubernetesNodeAnnotationsAsTags: map[string]string{
			"cluster.k8s.io/machine": "kube_machine"},
		KubernetesPersistentVolumeClaimsAsTags: true,
	}
}

// EnvNames returns the names and globs of environment variables the options need:
// what the collectors must let through, beyond what they always do. It is sorted.
func (o Options) EnvNames() []string {
	all, _ := o.TagRules()
	return rules.EnvNames(all)
}
