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
//   - [Options] lists every option with its type, default and meaning: the documentation is made of
//     it.
package config

import (
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Config is every option. The koanf tags are the options' names, what is nested has a dot in its
// name. [Options] says what each means. Start from [Default].
type Config struct {
	extract.Options `koanf:",squash"`

	ContainerExclude        Filters `koanf:"container_exclude"`
	ContainerInclude        Filters `koanf:"container_include"`
	ContainerExcludeMetrics Filters `koanf:"container_exclude_metrics"`
	ContainerIncludeMetrics Filters `koanf:"container_include_metrics"`
	ContainerExcludeLogs    Filters `koanf:"container_exclude_logs"`
	ContainerIncludeLogs    Filters `koanf:"container_include_logs"`
	ACExclude               Filters `koanf:"ac_exclude"`
	ACInclude               Filters `koanf:"ac_include"`

	Tags      []string `koanf:"tags"`
	ExtraTags []string `koanf:"extra_tags"`

	ClusterName                         string        `koanf:"cluster_name"`
	EnabledRFC1123CompliantClusterName  bool          `koanf:"enabled_rfc1123_compliant_cluster_name_tag"`
	EKSFargate                          bool          `koanf:"eks_fargate"`
	KubernetesKubeletNodename           string        `koanf:"kubernetes_kubelet_nodename"`
	OrchestratorClusterID               string        `koanf:"orchestrator_cluster_id"`
	ECSTaskCollectionEnabled            bool          `koanf:"ecs_task_collection_enabled"`
	KubernetesMetadataTagUpdateInterval time.Duration `koanf:"kubernetes_metadata_tag_update_freq"`

	ExpectedTagsDuration  time.Duration  `koanf:"expected_tags_duration"`
	ExcludePauseContainer bool           `koanf:"exclude_pause_container"`
	ContainerImage        ContainerImage `koanf:"container_image"`

	ChecksTagCardinality         tagger.TagCardinality `koanf:"checks_tag_cardinality"`
	DogstatsdTagCardinality      tagger.TagCardinality `koanf:"dogstatsd_tag_cardinality"`
	DogstatsdEntityIDPrecedence  bool                  `koanf:"dogstatsd_entity_id_precedence"`
	DogstatsdOriginOptoutEnabled bool                  `koanf:"dogstatsd_origin_optout_enabled"`
	OriginDetectionUnified       bool                  `koanf:"origin_detection_unified"`

	DockerQueryTimeout          time.Duration `koanf:"docker_query_timeout"`
	CRIQueryTimeout             time.Duration `koanf:"cri_query_timeout"`
	CRISocketPath               string        `koanf:"cri_socket_path"`
	ContainerdNamespaces        []string      `koanf:"containerd_namespaces"`
	ContainerdExcludeNamespaces []string      `koanf:"containerd_exclude_namespaces"`

	Collectors Collectors `koanf:"collectors"`
	Docker     Docker     `koanf:"docker"`
	Containerd Containerd `koanf:"containerd"`
	Podman     Podman     `koanf:"podman"`
	Process    Process    `koanf:"process"`
	Retention  Retention  `koanf:"retention"`
	ProcRoot   string     `koanf:"proc_root"`
}

// Filters is a list of filters, as [rules.ParseFilter] reads them.
type Filters []string

// ContainerImage has the options about images.
type ContainerImage struct {
	Enabled bool `koanf:"enabled"`
}

// Collectors switches collectors by ID.
type Collectors struct {
	Docker     collection.Switch `koanf:"docker"`
	Containerd collection.Switch `koanf:"containerd"`
	Podman     collection.Switch `koanf:"podman"`
	CRI        collection.Switch `koanf:"cri"`
	Process    collection.Switch `koanf:"process"`
	Host       collection.Switch `koanf:"host"`
}

// Docker has the options of the Docker collector.
type Docker struct {
	Host        string `koanf:"host"`
	KeepStopped bool   `koanf:"keep_stopped"`
}

// Containerd has the options of the containerd collector.
type Containerd struct {
	Address     string `koanf:"address"`
	KeepStopped bool   `koanf:"keep_stopped"`
}

// Podman has the options of the Podman collector.
type Podman struct {
	Sockets     []string `koanf:"sockets"`
	KeepStopped bool     `koanf:"keep_stopped"`
}

// Process has the options of the process collector.
type Process struct {
	Period    time.Duration `koanf:"period"`
	StripArgs bool          `koanf:"strip_args"`
}

// Retention says how long what is gone is remembered.
type Retention struct {
	Grace         time.Duration `koanf:"grace"`
	MaxTombstones int           `koanf:"max_tombstones"`
}

// Default returns the defaults.
func Default() Config {
	return Config{
		Options:                             extract.DefaultOptions(),
		EnabledRFC1123CompliantClusterName:  true,
		ECSTaskCollectionEnabled:            true,
		KubernetesMetadataTagUpdateInterval: time.Minute,
		ExcludePauseContainer:               true,
		ContainerImage:                      ContainerImage{Enabled: true},
		DogstatsdOriginOptoutEnabled:        true,
		DockerQueryTimeout:                  5 * time.Second,
		CRIQueryTimeout:                     5 * time.Second,
		Process:                             Process{Period: 10 * time.Second},
		Retention: Retention{Grace: 5 * time.Minute,
			MaxTombstones: 65536},
	}
}

// Switches returns the collectors' switches by ID, as [collection.Options] takes them.
func (c *Config) Switches() map[string]collection.Switch {
	return map[string]collection.Switch{
		"docker": c.Collectors.Docker, "containerd": c.Collectors.Containerd,
		"containerd-k8s": c.Collectors.Containerd,
		"podman":         c.Collectors.Podman, "cri": c.Collectors.CRI,
		"process": c.Collectors.Process, "host": c.Collectors.Host,
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
