// Package config reads rollcall's configuration.
//
// Four layers say what an option is; the first that does wins:
//
//  1. flags of the command line,
//  2. the environment: ROLLCALL_ and the upper-case name of the option, with "_" for "."; for
//     the options that a Datadog agent knows, too, DD_ and the same,
//  3. a YAML file,
//  4. the defaults.
//
// An option is replaced as a whole: a map in the environment is not united with the one in the
// file.
//
// # Promises
//
//   - An option that does not exist, a value of the wrong type and a value that makes no sense is
//     an error of one line. It names the file and the line, the variable or the flag, then the
//     option and what was expected. Nothing is ignored or guessed.
//   - [Schema.Options] lists every option with its type, default and meaning: the documentation is
//     made of it.
//   - The options of a collector are those that its Spec declares, and its switch, collectors.<ID>.
//     Nothing here knows any collector.
//
// # Why there is no library for this
//
// koanf, viper and their kin put layers of maps together. What is asked here they cannot tell: in
// which line of which file a value stands, that an option is there twice or does not exist, and
// that a map is to be replaced and not united. That takes the YAML parser's nodes and the fields'
// types; with both at hand, what is left for a library is to hold a map.
package config

import (
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Config is every option but those of collectors. The tags are the options' names, what is nested
// has a dot in its name. [Schema.Options] says what each means. Start from [Default].
type Config struct {
	extract.Options `config:",squash"`

	ContainerExclude        Filters `config:"container_exclude"`
	ContainerInclude        Filters `config:"container_include"`
	ContainerExcludeMetrics Filters `config:"container_exclude_metrics"`
	ContainerIncludeMetrics Filters `config:"container_include_metrics"`
	ContainerExcludeLogs    Filters `config:"container_exclude_logs"`
	ContainerIncludeLogs    Filters `config:"container_include_logs"`
	ACExclude               Filters `config:"ac_exclude"`
	ACInclude               Filters `config:"ac_include"`

	Tags      []string `config:"tags"`
	ExtraTags []string `config:"extra_tags"`

	ClusterName                         string        `config:"cluster_name"`
	EnabledRFC1123CompliantClusterName  bool          `config:"enabled_rfc1123_compliant_cluster_name_tag"`
	EKSFargate                          bool          `config:"eks_fargate"`
	KubernetesKubeletNodename           string        `config:"kubernetes_kubelet_nodename"`
	OrchestratorClusterID               string        `config:"orchestrator_cluster_id"`
	ECSTaskCollectionEnabled            bool          `config:"ecs_task_collection_enabled"`
	KubernetesMetadataTagUpdateInterval time.Duration `config:"kubernetes_metadata_tag_update_freq"`

	ExcludePauseContainer bool           `config:"exclude_pause_container"`
	ContainerImage        ContainerImage `config:"container_image"`

	ChecksTagCardinality         tagger.TagCardinality `config:"checks_tag_cardinality"`
	DogstatsdTagCardinality      tagger.TagCardinality `config:"dogstatsd_tag_cardinality"`
	DogstatsdEntityIDPrecedence  bool                  `config:"dogstatsd_entity_id_precedence"`
	DogstatsdOriginOptoutEnabled bool                  `config:"dogstatsd_origin_optout_enabled"`
	OriginDetectionUnified       bool                  `config:"origin_detection_unified"`

	// Collectors are the switches that are not auto, by the collectors' IDs.
	Collectors map[string]collection.Switch `config:"-"`

	AgentType collection.Agent `config:"agent_type,flag"`
	Retention Retention        `config:"retention"`
	ProcRoot  string           `config:"proc_root"`
}

// Filters is a list of filters, as [rules.ParseFilter] reads them.
type Filters []string

// ContainerImage has the options about images.
type ContainerImage struct {
	Enabled bool `config:"enabled"`
}

// Retention says how long what is gone is remembered.
type Retention struct {
	Grace         time.Duration `config:"grace"`
	MaxTombstones int           `config:"max_tombstones"`
}

// Default returns the defaults.
func Default() Config {
	return Config{
		Options:                             extract.DefaultOptions(),
		Collectors:                          map[string]collection.Switch{},
		EnabledRFC1123CompliantClusterName:  true,
		ECSTaskCollectionEnabled:            true,
		KubernetesMetadataTagUpdateInterval: time.Minute,
		ExcludePauseContainer:               true,
		ContainerImage:                      ContainerImage{Enabled: true},
		DogstatsdOriginOptoutEnabled:        true,
		AgentType:                           collection.Node,
		Retention: Retention{Grace: 5 * time.Minute,
			MaxTombstones: 65536},
	}
}

// ruleList returns the rules that come after those of the map options: what filters mean,
// what pods say of themselves, what the user has written, and what nobody can undo. where
// says where an item of an option is written.
func (c *Config) ruleList(where func(option, item string) string) (list []rules.Rule,
	warnings []string) {
	list, warnings, err := rules.Translate([]rules.Filter{
		{Option: "container_exclude", Items: c.ContainerExclude}, {Option: "container_include",
			Items: c.ContainerInclude},
		{Option: "container_exclude_metrics", Items: c.ContainerExcludeMetrics},
		{Option: "container_include_metrics", Items: c.ContainerIncludeMetrics},
		{Option: "container_exclude_logs", Items: c.ContainerExcludeLogs},
		{Option: "container_include_logs", Items: c.ContainerIncludeLogs},
		{Option: "ac_exclude", Items: c.ACExclude}, {Option: "ac_include", Items: c.ACInclude},
	}, where)
	if err != nil {
		// Load has refused it. In a Config made by hand it must not silently be missing.
		list = []rules.Rule{{Name: err.Error()}}
	}
	list = append(append(list, rules.PodAnnotations()...), c.Rules...)
	if c.ExcludePauseContainer {
		list = append(list, rules.Pause()...)
	}
	return list, warnings
}

// TagOptions returns the options of the tag rules. The environment ("NAME=value" each) tells
// whether this machine has an identity of its own: on ECS Fargate and EKS Fargate it has none, and
// everything carries the configured tags.
func (c *Config) TagOptions(environ []string) extract.Options {
	ecsFargate := false
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		ecsFargate = ecsFargate || name == "ECS_FARGATE" && value != "" ||
			name == "AWS_EXECUTION_ENV" && value == "AWS_ECS_FARGATE"
	}
	cluster := strings.ToLower(c.ClusterName)
	if c.EnabledRFC1123CompliantClusterName {
		cluster = strings.ReplaceAll(cluster, "_", "-")
	}
	options := c.Options
	// who wants to know about filters that are ignored loads a file
	options.Rules, _ = c.ruleList(nil)
	options.StaticTags = extract.StaticTags(extract.StaticConfig{
		Tags: c.Tags, ExtraTags: c.ExtraTags, Hostless: ecsFargate || c.EKSFargate,
		EKSFargate: c.EKSFargate, NodeName: c.KubernetesKubeletNodename, ClusterName: cluster,
		OrchClusterID: c.OrchestratorClusterID,
	})
	return options
}

// WithoutRules returns the configuration without rules, and with those options that are
// translated into rules at their defaults.
func (c *Config) WithoutRules() Config {
	out, defaults := *c, extract.DefaultOptions()
	out.Rules = nil
	out.ContainerExclude, out.ContainerInclude = nil, nil
	out.ContainerExcludeMetrics, out.ContainerIncludeMetrics = nil, nil
	out.ContainerExcludeLogs, out.ContainerIncludeLogs = nil, nil
	out.ACExclude, out.ACInclude = nil, nil
	out.DockerLabelsAsTags, out.ContainerLabelsAsTags = nil, nil
	out.DockerEnvAsTags, out.ContainerEnvAsTags = nil, nil
	out.KubernetesPodLabelsAsTags, out.KubernetesPodAnnotationsAsTags = nil, nil
	out.KubernetesNamespaceLabelsAsTags, out.KubernetesNamespaceAnnotationsAsTags = nil, nil
	out.KubernetesNodeLabelsAsTags, out.KubernetesNodeAnnotationsAsTags = nil,
		defaults.KubernetesNodeAnnotationsAsTags
	out.KubernetesResourcesLabelsAsTags, out.KubernetesResourcesAnnotationsAsTags = nil, nil
	return out
}
