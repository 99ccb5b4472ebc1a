package extract

import (
	"slices"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Definition is one way in which a tag is made. A name that several fields can give
// has several definitions.
type Definition struct {
	// Name is the tag's name. In angle brackets: the name is the user's or comes from
	// the data.
	Name        string
	Cardinality tagger.TagCardinality
	Standard    bool
	// Kinds are the kinds of entities that carry the tag.
	Kinds []workloadmeta.Kind
	// of are the kinds of entities that the field is read from; nil = the first of Kinds.
	of []workloadmeta.Kind
	// provisional says that it makes the tag only until the entity is known that has it by right.
	provisional bool
	// Field is what the tag is made from, by its JSON name; angle brackets stand for
	// the part that varies. For a container that has the tag from its pod or task it
	// is a field of that.
	Field string
	// Condition, if not empty, is when the tag is made, beyond the field being set.
	Condition string
	// Doc says what the tag's value is, as part of a sentence.
	Doc string
}

// readFrom returns the kinds of entities that the field is read from.
func (d *Definition) readFrom() []workloadmeta.Kind {
	if d.of != nil {
		return d.of
	}
	return d.Kinds[:1]
}

// Definitions returns all definitions, ordered by subject. The caller owns the result.
func Definitions() []Definition {
	all := slices.Clone(definitions[:])
	for i := range all {
		all[i].Kinds = slices.Clone(all[i].Kinds)
	}
	return all
}

// rule names a definition.
type rule uint8

// The rules, in the order of the table below.
const (
	// Containers, by their own fields.
	ruleContainerName rule = iota
	ruleContainerID
	ruleImageName
	ruleShortImage
	ruleImageTag
	ruleImageID
	ruleDockerImage
	ruleGPUVendor
	ruleCPURestartPolicy
	ruleMemoryRestartPolicy
	ruleCollectorTag
	// Labels of containers and images.
	ruleLabelEnv
	ruleLabelService
	ruleLabelVersion
	ruleSwarmService
	ruleSwarmNamespace
	ruleRancherStack
	ruleRancherService
	ruleRancherContainer
	ruleLabelPodName
	ruleLabelNamespace
	ruleLabelContainerName
	ruleLabelCommit
	ruleLabelRepository
	ruleLabelTags
	ruleMappedContainerLabel
	// Environment variables of containers; on Kubernetes also by way of the pod.
	ruleDDEnv
	ruleDDService
	ruleDDVersion
	ruleOTelAttributeService
	ruleOTelAttributeVersion
	ruleOTelAttributeEnv
	ruleOTelAttributeEnvName
	ruleOTelServiceName
	ruleEnvCommit
	ruleEnvRepository
	ruleMarathonApp
	ruleChronosJob
	ruleChronosJobOwner
	ruleMesosTask
	ruleNomadTask
	ruleNomadJob
	ruleNomadGroup
	ruleNomadNamespace
	ruleNomadDC
	ruleMappedEnv
	// Pods; their containers carry the same tags.
	rulePodName
	ruleNamespace
	rulePodPhase
	rulePriorityClass
	ruleQOS
	ruleRuntimeClass
	rulePodGPUVendor
	rulePodEnv
	rulePodService
	rulePodVersion
	ruleAppName
	ruleAppInstance
	ruleAppVersion
	ruleAppComponent
	ruleAppPartOf
	ruleAppManagedBy
	ruleAutoscaler
	rulePodAutoscaler
	ruleKubeService
	ruleServiceName
	rulePodTags
	ruleOpenShiftConfig
	ruleOpenShiftDeployment
	ruleRemoteConfigID
	ruleRemoteConfigRev
	ruleMappedPodLabel
	ruleMappedPodAnnotation
	ruleMappedNamespaceLabel
	ruleMappedNamespaceAnnotation
	// Owners of pods.
	ruleOwnerKind
	ruleOwnerName
	ruleDeployment
	ruleReplicaSet
	ruleArgoRollout
	ruleReplicationController
	ruleStatefulSet
	ruleVolumeClaim
	ruleDaemonSet
	ruleJob
	ruleCronJob
	ruleCronJobJob
	// Containers, by what their pod says of them.
	ruleKubeContainerName
	ruleDisplayContainerName
	ruleContainerEnv
	ruleContainerService
	ruleContainerVersion
	ruleContainerTags
	// ECS tasks; their containers carry the same tags.
	ruleTaskName
	ruleTaskFamily
	ruleTaskVersion
	ruleTaskARN
	ruleAWSAccount
	ruleRegion
	ruleServiceARN
	ruleTaskDefinitionARN
	ruleDaemonTaskDefinitionARN
	ruleDaemonARN
	ruleECSDaemon
	ruleECSService
	ruleClusterName
	ruleECSClusterName
	ruleClusterARN
	ruleZoneDash
	ruleZone
	ruleInstanceResourceTag
	ruleTaskResourceTag
	ruleECSContainerName
	// Images.
	ruleMetadataImageName
	ruleMetadataShortImage
	ruleMetadataImageTag
	ruleOSName
	ruleOSVersion
	ruleArchitecture
	// Kubernetes objects.
	ruleMappedObjectLabel
	ruleMappedObjectAnnotation
	ruleDeploymentAutoscaler
	ruleServerVersion
	ruleCRDGroup
	ruleCRDKind
	ruleCRDVersion
	ruleCRDName
	ruleCRDNamespace
	ruleServiceNamespace
	// Kueue.
	ruleLocalQueue
	ruleClusterQueue
	ruleQueueLabel
	ruleClusterQueueLabel
	ruleWorkloadLocalQueue
	ruleWorkloadClusterQueue
	ruleWorkloadFlavor
	ruleWorkload
	ruleWorkloadUID
	ruleFlavor
	ruleFlavorVendor
	ruleFlavorDevice
	ruleFlavorType
	ruleFlavorArchitecture
	ruleFlavorDriver
	ruleFlavorLabel
	// GPUs; processes that compute on one carry the same tags, and containers that may.
	ruleGPUVendorTag
	ruleGPUDevice
	ruleGPUUUID
	ruleGPUDriver
	ruleGPUVirtualization
	ruleGPUArchitecture
	ruleGPUType
	ruleGPUSlicing
	ruleGPUParent
	ruleGPUPCI
	// Processes.
	ruleProcessService
	ruleProcessEnv
	ruleProcessVersion
	ruleTracerName
	ruleTracerEnv
	ruleTracerVersion
	ruleProcessTag
	// Everything.
	ruleHostTag
	ruleStaticTag

	numRules
)

const (
	low  = tagger.LowCardinality
	orch = tagger.OrchestratorCardinality
	high = tagger.HighCardinality
)

// Kinds that carry a tag.
var (
	containers          = []workloadmeta.Kind{workloadmeta.KindContainer}
	images              = []workloadmeta.Kind{workloadmeta.KindContainerImage}
	containersAndImages = []workloadmeta.Kind{workloadmeta.KindContainer,
		workloadmeta.KindContainerImage}
	podContainers = []workloadmeta.Kind{workloadmeta.KindKubernetesPod,
		workloadmeta.KindContainer}
	taskContainers = []workloadmeta.Kind{workloadmeta.KindECSTask, workloadmeta.KindContainer}
	objects        = []workloadmeta.Kind{
		workloadmeta.KindKubernetesMetadata, workloadmeta.KindKubernetesDeployment,
		workloadmeta.KindKubernetesService, workloadmeta.KindKueueQueue,
		workloadmeta.KindKueueResourceFlavor,
		workloadmeta.KindKueueWorkload,
	}
	objectsAndPods = append(objects[:len(objects):len(objects)], podContainers...)
	deployments    = []workloadmeta.Kind{workloadmeta.KindKubernetesDeployment}
	services       = []workloadmeta.Kind{workloadmeta.KindKubernetesService}
	members        = append(services[:1:1], podContainers...)
	capabilities   = []workloadmeta.Kind{workloadmeta.KindKubeCapabilities}
	crds           = []workloadmeta.Kind{workloadmeta.KindCRD}
	workloads      = []workloadmeta.Kind{workloadmeta.KindKueueWorkload,
		workloadmeta.KindKubernetesPod, workloadmeta.KindContainer}
	queues  = append([]workloadmeta.Kind{workloadmeta.KindKueueQueue}, workloads...)
	flavors = append([]workloadmeta.Kind{workloadmeta.KindKueueResourceFlavor},
		workloads...)
	podContainersAndQueues = append([]workloadmeta.Kind{workloadmeta.KindKueueQueue}, workloads...)
	gpus                   = []workloadmeta.Kind{workloadmeta.KindGPU, workloadmeta.KindProcess,
		workloadmeta.KindContainer}
	processes     = []workloadmeta.Kind{workloadmeta.KindProcess}
	pods          = []workloadmeta.Kind{workloadmeta.KindKubernetesPod}
	tasks         = []workloadmeta.Kind{workloadmeta.KindECSTask}
	queuesAndPods = []workloadmeta.Kind{workloadmeta.KindKueueQueue,
		workloadmeta.KindKubernetesPod}
	hosts = []workloadmeta.Kind{workloadmeta.KindHost}
)

// definitions is every tag rollcall makes by itself.
var definitions = [numRules]Definition{
	// Containers, by their own fields.
	ruleContainerName: {Name: "container_name", Cardinality: high, Kinds: containers,
		Field: "name", Doc: "the container's name; on Kubernetes the name within the pod"},
	ruleContainerID: {Name: "container_id", Cardinality: high, Kinds: containers,
		Field: "id", Doc: "the container's ID"},
	ruleImageName: {Name: "image_name", Cardinality: low, Kinds: containers, of: podContainers,
		Field: "image.name",
		Doc:   "image with registry and path, without tag; on Kubernetes as the pod spells it"},
	ruleShortImage: {Name: "short_image", Cardinality: low, Kinds: containers, of: podContainers,
		Field: "image.short_name", Doc: "last part of the image's path"},
	ruleImageTag: {Name: "image_tag", Cardinality: low, Kinds: containers, of: podContainers,
		Field: "image.tag", Doc: "the image's tag"},
	ruleImageID: {Name: "image_id", Cardinality: low, Kinds: containers, of: podContainers,
		Field: "image.id", Doc: "the image's ID or digest"},
	ruleDockerImage: {Name: "docker_image", Cardinality: low, Kinds: containers,
		Field: "image.name", Condition: "the runtime is docker",
		Doc: "image with its tag, if it has one"},
	ruleGPUVendor: {Name: "gpu_vendor", Cardinality: low, Kinds: containers,
		Field: "resources.gpu_vendor_list", Doc: "maker of each GPU the container asks for"},
	ruleCPURestartPolicy: {Name: "cpu_restart_policy", Cardinality: low, Kinds: containers,
		Field: "resize_policy.cpu_restart_policy",
		Doc:   "what a change of CPU resources does to the container"},
	ruleMemoryRestartPolicy: {Name: "memory_restart_policy", Cardinality: low, Kinds: containers,
		Field: "resize_policy.memory_restart_policy",
		Doc:   "what a change of memory resources does to the container"},
	ruleCollectorTag: {Name: "<tag>", Cardinality: high, Kinds: containers,
		Field: "collector_tags", Condition: "the runtime is garden",
		Doc: "complete tags from Cloud Foundry; such a container has no others"},
	// Labels of containers and images.
	ruleLabelEnv: {Name: "env", Cardinality: low, Standard: true,
		Kinds: containersAndImages, of: containersAndImages,
		Field: `labels["com.datadoghq.tags.env"]`,
		Doc:   "unified service tagging: environment"},
	ruleLabelService: {Name: "service", Cardinality: low, Standard: true,
		Kinds: containersAndImages, of: containersAndImages,
		Field: `labels["com.datadoghq.tags.service"]`,
		Doc:   "unified service tagging: service"},
	ruleLabelVersion: {Name: "version", Cardinality: low, Standard: true,
		Kinds: containersAndImages, of: containersAndImages,
		Field: `labels["com.datadoghq.tags.version"]`,
		Doc:   "unified service tagging: version"},
	ruleSwarmService: {Name: "swarm_service", Cardinality: low, Kinds: containersAndImages,
		of:    containersAndImages,
		Field: `labels["com.docker.swarm.service.name"]`, Doc: "Docker Swarm service"},
	ruleSwarmNamespace: {Name: "swarm_namespace", Cardinality: low,
		Kinds: containersAndImages, of: containersAndImages,
		Field: `labels["com.docker.stack.namespace"]`,
		Doc:   "Docker stack"},
	ruleRancherStack: {Name: "rancher_stack", Cardinality: low, Kinds: containersAndImages,
		of:    containersAndImages,
		Field: `labels["io.rancher.stack.name"]`, Doc: "Rancher stack"},
	ruleRancherService: {Name: "rancher_service", Cardinality: low,
		Kinds: containersAndImages, of: containersAndImages,
		Field: `labels["io.rancher.stack_service.name"]`,
		Doc:   "Rancher service"},
	ruleRancherContainer: {Name: "rancher_container", Cardinality: high,
		Kinds: containersAndImages, of: containersAndImages,
		Field: `labels["io.rancher.container.name"]`,
		Doc:   "Rancher's name of the container"},
	ruleLabelPodName: {Name: "pod_name", Cardinality: orch, Kinds: containers,
		Field: `labels["io.kubernetes.pod.name"]`, Condition: "its pod does not list it",
		provisional: true,
		Doc:         "the pod's name"},
	ruleLabelNamespace: {Name: "kube_namespace", Cardinality: low, Kinds: containers,
		Field: `labels["io.kubernetes.pod.namespace"]`, Condition: "its pod does not list it",
		provisional: true,
		Doc:         "the namespace"},
	ruleLabelContainerName: {Name: "kube_container_name", Cardinality: low, Kinds: containers,
		Field: `labels["io.kubernetes.container.name"]`, Condition: "its pod does not list it",
		provisional: true,
		Doc:         "name within the pod"},
	ruleLabelCommit: {Name: "git.commit.sha", Cardinality: low, Kinds: containersAndImages,
		of:    containersAndImages,
		Field: `labels["org.opencontainers.image.revision"]`,
		Doc:   "commit the image was built from"},
	ruleLabelRepository: {Name: "git.repository_url", Cardinality: low,
		Kinds: containersAndImages, of: containersAndImages,
		Field: `labels["org.opencontainers.image.source"]`,
		Doc:   "repository the image was built from"},
	ruleLabelTags: {Name: "<name>", Cardinality: high, Kinds: containersAndImages,
		of:    containersAndImages,
		Field: `labels["com.datadoghq.ad.tags"]`,
		Doc:   `items of a JSON array of "name:value" with exactly one colon`},
	ruleMappedContainerLabel: {Name: "<name>", Cardinality: low, Kinds: containersAndImages,
		of:    containersAndImages,
		Field: `labels["<label>"]`,
		Doc:   `option container_labels_as_tags, or a rule; high with "+"`},
	// Environment variables of containers; on Kubernetes also by way of the pod.
	ruleDDEnv: {Name: "env", Cardinality: low, Standard: true, Kinds: containers,
		Field: `env["DD_ENV"]`, Doc: "unified service tagging: environment"},
	ruleDDService: {Name: "service", Cardinality: low, Standard: true, Kinds: containers,
		Field: `env["DD_SERVICE"]`, Doc: "unified service tagging: service"},
	ruleDDVersion: {Name: "version", Cardinality: low, Standard: true, Kinds: containers,
		Field: `env["DD_VERSION"]`, Doc: "unified service tagging: version"},
	ruleOTelAttributeService: {Name: "service", Cardinality: low, Standard: true, Kinds: containers,
		Field: `env["OTEL_RESOURCE_ATTRIBUTES"].service.name`,
		Doc:   "service, as OpenTelemetry names it"},
	ruleOTelAttributeVersion: {Name: "version", Cardinality: low, Standard: true, Kinds: containers,
		Field: `env["OTEL_RESOURCE_ATTRIBUTES"].service.version`,
		Doc:   "version, as OpenTelemetry names it"},
	ruleOTelAttributeEnv: {Name: "env", Cardinality: low, Standard: true, Kinds: containers,
		Field: `env["OTEL_RESOURCE_ATTRIBUTES"].deployment.environment`,
		Doc:   "environment, as OpenTelemetry named it once"},
	ruleOTelAttributeEnvName: {Name: "env", Cardinality: low, Standard: true, Kinds: containers,
		Field: `env["OTEL_RESOURCE_ATTRIBUTES"].deployment.environment.name`,
		Doc:   "environment, as OpenTelemetry names it"},
	ruleOTelServiceName: {Name: "service", Cardinality: low, Standard: true, Kinds: containers,
		Field: `env["OTEL_SERVICE_NAME"]`, Doc: "service, as OpenTelemetry names it"},
	ruleEnvCommit: {Name: "git.commit.sha", Cardinality: low, Kinds: containers,
		Field: `env["DD_GIT_COMMIT_SHA"]`, Doc: "commit the program was built from"},
	ruleEnvRepository: {Name: "git.repository_url", Cardinality: low, Kinds: containers,
		Field: `env["DD_GIT_REPOSITORY_URL"]`, Doc: "repository the program was built from"},
	ruleMarathonApp: {Name: "marathon_app", Cardinality: low, Kinds: containers,
		Field: `env["MARATHON_APP_ID"]`, Doc: "Marathon application"},
	ruleChronosJob: {Name: "chronos_job", Cardinality: low, Kinds: containers,
		Field: `env["CHRONOS_JOB_NAME"]`, Doc: "Chronos job"},
	ruleChronosJobOwner: {Name: "chronos_job_owner", Cardinality: low, Kinds: containers,
		Field: `env["CHRONOS_JOB_OWNER"]`, Doc: "owner of the Chronos job"},
	ruleMesosTask: {Name: "mesos_task", Cardinality: orch, Kinds: containers,
		Field: `env["MESOS_TASK_ID"]`, Doc: "Mesos task"},
	ruleNomadTask: {Name: "nomad_task", Cardinality: low, Kinds: containers,
		Field: `env["NOMAD_TASK_NAME"]`, Doc: "Nomad task"},
	ruleNomadJob: {Name: "nomad_job", Cardinality: low, Kinds: containers,
		Field: `env["NOMAD_JOB_NAME"]`, Doc: "Nomad job"},
	ruleNomadGroup: {Name: "nomad_group", Cardinality: low, Kinds: containers,
		Field: `env["NOMAD_GROUP_NAME"]`, Doc: "Nomad group"},
	ruleNomadNamespace: {Name: "nomad_namespace", Cardinality: low, Kinds: containers,
		Field: `env["NOMAD_NAMESPACE"]`, Doc: "Nomad namespace"},
	ruleNomadDC: {Name: "nomad_dc", Cardinality: low, Kinds: containers,
		Field: `env["NOMAD_DC"]`, Doc: "Nomad data centre"},
	ruleMappedEnv: {Name: "<name>", Cardinality: low, Kinds: containers,
		Field: `env["<variable>"]`, Doc: `option container_env_as_tags, or a rule; high with "+"`},
	// Pods; their containers carry the same tags.
	rulePodName: {Name: "pod_name", Cardinality: orch, Kinds: podContainers,
		Field: "name", Doc: "the pod's name"},
	ruleNamespace: {Name: "kube_namespace", Cardinality: low,
		Kinds: podContainersAndQueues, of: queuesAndPods, Field: "namespace", Doc: "the namespace"},
	rulePodPhase: {Name: "pod_phase", Cardinality: low, Kinds: podContainers,
		Field: "phase", Doc: "phase, lower-case"},
	rulePriorityClass: {Name: "kube_priority_class", Cardinality: low,
		Kinds: podContainers, Field: "priority_class", Doc: "priority class"},
	ruleQOS: {Name: "kube_qos", Cardinality: low, Kinds: podContainers,
		Field: "qos_class", Doc: "quality of service class"},
	ruleRuntimeClass: {Name: "kube_runtime_class", Cardinality: low,
		Kinds: podContainers, Field: "runtime_class", Doc: "runtime class"},
	rulePodGPUVendor: {Name: "gpu_vendor", Cardinality: low, Kinds: podContainers,
		Field: "gpu_vendor_list", Doc: "maker of each GPU the pod asks for"},
	rulePodEnv: {Name: "env", Cardinality: low, Standard: true,
		Kinds: podContainers, Field: `labels["tags.datadoghq.com/env"]`,
		Doc: "unified service tagging: environment"},
	rulePodService: {Name: "service", Cardinality: low, Standard: true,
		Kinds: podContainers, Field: `labels["tags.datadoghq.com/service"]`,
		Doc: "unified service tagging: service"},
	rulePodVersion: {Name: "version", Cardinality: low, Standard: true,
		Kinds: podContainers, Field: `labels["tags.datadoghq.com/version"]`,
		Doc: "unified service tagging: version"},
	ruleAppName: {Name: "kube_app_name", Cardinality: low, Kinds: podContainers,
		Field: `labels["app.kubernetes.io/name"]`, Doc: `recommended label "name" of applications`},
	ruleAppInstance: {Name: "kube_app_instance", Cardinality: low,
		Kinds: podContainers, Field: `labels["app.kubernetes.io/instance"]`,
		Doc: `recommended label "instance" of applications`},
	ruleAppVersion: {Name: "kube_app_version", Cardinality: low,
		Kinds: podContainers, Field: `labels["app.kubernetes.io/version"]`,
		Doc: `recommended label "version" of applications`},
	ruleAppComponent: {Name: "kube_app_component", Cardinality: low,
		Kinds: podContainers, Field: `labels["app.kubernetes.io/component"]`,
		Doc: `recommended label "component" of applications`},
	ruleAppPartOf: {Name: "kube_app_part_of", Cardinality: low,
		Kinds: podContainers, Field: `labels["app.kubernetes.io/part-of"]`,
		Doc: `recommended label "part-of" of applications`},
	ruleAppManagedBy: {Name: "kube_app_managed_by", Cardinality: low,
		Kinds: podContainers, Field: `labels["app.kubernetes.io/managed-by"]`,
		Doc: `recommended label "managed-by" of applications`},
	ruleAutoscaler: {Name: "kube_autoscaler_kind", Cardinality: low,
		Kinds: podContainers, Field: `annotations["autoscaling.datadoghq.com/autoscaler-id"]`,
		Condition: "the annotation is not empty", Doc: `"datadogpodautoscaler"`},
	rulePodAutoscaler: {Name: "kube_autoscaler_kind", Cardinality: low, Kinds: podContainers,
		Field: "autoscaler_kinds", Doc: "each kind of autoscaler of what owns the pod"},
	ruleKubeService: {Name: "kube_service", Cardinality: low, Kinds: podContainers,
		Field:     "kube_services",
		Condition: "not switched off by option kubernetes_ad_tags_disabled or annotation tags.datadoghq.com/disable", Doc: "each service the pod is behind"},
	ruleServiceName: {Name: "kube_service", Cardinality: low, Kinds: members, Field: "name",
		Condition: "of a pod: not switched off by option kubernetes_ad_tags_disabled or annotation tags.datadoghq.com/disable",
		Doc:       "the service; of a pod each service that has it among its `pods`, by its UID or by that of its mirror"},
	rulePodTags: {Name: "<name>", Cardinality: low, Kinds: podContainers,
		Field: `annotations["ad.datadoghq.com/tags"]`,
		Doc:   `members of a JSON object; high with "+"`},
	ruleOpenShiftConfig: {Name: "oshift_deployment_config", Cardinality: low,
		Kinds: podContainers, Field: `annotations["openshift.io/deployment-config.name"]`,
		Doc: "OpenShift deployment configuration"},
	ruleOpenShiftDeployment: {Name: "oshift_deployment", Cardinality: orch,
		Kinds: podContainers, Field: `annotations["openshift.io/deployment.name"]`,
		Doc: "OpenShift deployment"},
	ruleRemoteConfigID: {Name: "dd_remote_config_id", Cardinality: low,
		Kinds: podContainers, Field: `annotations["admission.datadoghq.com/rc.id"]`,
		Doc: "remote configuration"},
	ruleRemoteConfigRev: {Name: "dd_remote_config_rev", Cardinality: low,
		Kinds: podContainers, Field: `annotations["admission.datadoghq.com/rc.rev"]`,
		Doc: "revision of the remote configuration"},
	ruleMappedPodLabel: {Name: "<name>", Cardinality: low, Kinds: podContainers,
		Field: `labels["<label>"]`,
		Doc:   `option kubernetes_pod_labels_as_tags, or a rule; high with "+"`},
	ruleMappedPodAnnotation: {Name: "<name>", Cardinality: low, Kinds: podContainers,
		Field: `annotations["<annotation>"]`,
		Doc:   `option kubernetes_pod_annotations_as_tags, or a rule; high with "+"`},
	ruleMappedNamespaceLabel: {Name: "<name>", Cardinality: low, Kinds: podContainers,
		Field: `namespace_labels["<label>"]`,
		Doc:   `option kubernetes_namespace_labels_as_tags, or a rule; high with "+"`},
	ruleMappedNamespaceAnnotation: {Name: "<name>", Cardinality: low, Kinds: podContainers,
		Field: `namespace_annotations["<annotation>"]`,
		Doc:   `option kubernetes_namespace_annotations_as_tags, or a rule; high with "+"`},
	// Owners of pods.
	ruleOwnerKind: {Name: "kube_ownerref_kind", Cardinality: low, Kinds: podContainers,
		Field: "owners[].kind",
		Doc:   "kind of the controller, or of each owner where none is said to be it, lower-case"},
	ruleOwnerName: {Name: "kube_ownerref_name", Cardinality: orch, Kinds: podContainers,
		Field: "owners[].name", Doc: "name of the same"},
	ruleDeployment: {Name: "kube_deployment", Cardinality: low, Kinds: podContainers,
		Field:     "owners[].name",
		Condition: "an owner is a Deployment, or a ReplicaSet that one made: by the label pod-template-hash, or by its name where no label is known",
		Doc:       "the deployment"},
	ruleReplicaSet: {Name: "kube_replica_set", Cardinality: low, Kinds: podContainers,
		Field: "owners[].name", Condition: "an owner is a ReplicaSet", Doc: "the replica set"},
	ruleArgoRollout: {Name: "kube_argo_rollout", Cardinality: low, Kinds: podContainers,
		Field:     "owners[].name",
		Condition: "the replica set is named after it and the pod has the label rollouts-pod-template-hash", Doc: "the Argo rollout"},
	ruleReplicationController: {Name: "kube_replication_controller", Cardinality: low,
		Kinds: podContainers, Field: "owners[].name",
		Condition: "an owner is a ReplicationController", Doc: "the replication controller"},
	ruleStatefulSet: {Name: "kube_stateful_set", Cardinality: low, Kinds: podContainers,
		Field: "owners[].name", Condition: "an owner is a StatefulSet", Doc: "the stateful set"},
	ruleVolumeClaim: {Name: "persistentvolumeclaim", Cardinality: low,
		Kinds: podContainers, Field: "persistent_volume_claim_names",
		Condition: "an owner is a StatefulSet; option kubernetes_persistent_volume_claims_as_tags",
		Doc:       "each volume claim"},
	ruleDaemonSet: {Name: "kube_daemon_set", Cardinality: low, Kinds: podContainers,
		Field: "owners[].name", Condition: "an owner is a DaemonSet", Doc: "the daemon set"},
	ruleJob: {Name: "kube_job", Cardinality: low, Kinds: podContainers,
		Field: "owners[].name", Condition: "an owner is a Job that no cron job made",
		Doc: "the job"},
	ruleCronJob: {Name: "kube_cronjob", Cardinality: low, Kinds: podContainers,
		Field:     "owners[].name",
		Condition: "an owner is a Job whose name ends in the time of a run, which agrees with the creation of the pod where that is known",
		Doc:       "the cron job"},
	ruleCronJobJob: {Name: "kube_job", Cardinality: orch, Kinds: podContainers,
		Field: "owners[].name", Condition: "an owner is a Job that a cron job made",
		Doc: "the job"},
	// Containers, by what their pod says of them.
	ruleKubeContainerName: {Name: "kube_container_name", Cardinality: low, Kinds: containers,
		of:    pods,
		Field: "containers[].name", Doc: "name within the pod"},
	ruleDisplayContainerName: {Name: "display_container_name", Cardinality: high, Kinds: containers,
		Field: "name", Condition: "the pod has a name", Doc: `container and pod, joined by "_"`},
	ruleContainerEnv: {Name: "env", Cardinality: low, Standard: true, Kinds: containers, of: pods,
		Field: `labels["tags.datadoghq.com/<container>.env"]`,
		Doc:   "unified service tagging of one container: environment"},
	ruleContainerService: {Name: "service", Cardinality: low, Standard: true, Kinds: containers,
		of:    pods,
		Field: `labels["tags.datadoghq.com/<container>.service"]`,
		Doc:   "unified service tagging of one container: service"},
	ruleContainerVersion: {Name: "version", Cardinality: low, Standard: true, Kinds: containers,
		of:    pods,
		Field: `labels["tags.datadoghq.com/<container>.version"]`,
		Doc:   "unified service tagging of one container: version"},
	ruleContainerTags: {Name: "<name>", Cardinality: low, Kinds: containers, of: pods,
		Field: `annotations["ad.datadoghq.com/<container>.tags"]`,
		Doc:   `members of a JSON object; high with "+"`},
	// ECS tasks; their containers carry the same tags.
	ruleTaskName: {Name: "task_name", Cardinality: low, Kinds: taskContainers,
		Field: "family", Doc: "the task's family"},
	ruleTaskFamily: {Name: "task_family", Cardinality: low, Kinds: taskContainers,
		Field: "family", Doc: "the task's family"},
	ruleTaskVersion: {Name: "task_version", Cardinality: low, Kinds: taskContainers,
		Field: "version", Doc: "revision of the task definition"},
	ruleTaskARN: {Name: "task_arn", Cardinality: orch, Kinds: taskContainers,
		Field: "id", Doc: "the task"},
	ruleAWSAccount: {Name: "aws_account", Cardinality: low, Kinds: taskContainers,
		Field: "aws_account_id", Doc: "AWS account"},
	ruleRegion: {Name: "region", Cardinality: low, Kinds: taskContainers,
		Field: "region", Doc: "AWS region"},
	ruleServiceARN: {Name: "service_arn", Cardinality: low, Kinds: taskContainers,
		Field: "service_arn", Doc: "the service"},
	ruleTaskDefinitionARN: {Name: "task_definition_arn", Cardinality: orch,
		Kinds: taskContainers, Field: "task_definition_arn", Condition: "the task is of no daemon",
		Doc: "the task definition"},
	ruleDaemonTaskDefinitionARN: {Name: "daemon_task_definition_arn", Cardinality: orch,
		Kinds: taskContainers, Field: "task_definition_arn", Condition: "the task is of a daemon",
		Doc: "the task definition"},
	ruleDaemonARN: {Name: "daemon_arn", Cardinality: low, Kinds: taskContainers,
		Field: "daemon_arn", Doc: "the daemon"},
	ruleECSDaemon: {Name: "ecs_daemon", Cardinality: low, Kinds: taskContainers,
		Field: "daemon_name", Doc: "the daemon, lower-case"},
	ruleECSService: {Name: "ecs_service", Cardinality: low, Kinds: taskContainers,
		Field: "service_name", Doc: "the service, lower-case"},
	ruleClusterName: {Name: "cluster_name", Cardinality: low, Kinds: taskContainers,
		Field: "cluster_name", Condition: "not switched off by option disable_cluster_name_tag_key",
		Doc: "the cluster"},
	ruleECSClusterName: {Name: "ecs_cluster_name", Cardinality: low, Kinds: taskContainers,
		Field: "cluster_name", Doc: "the cluster"},
	ruleClusterARN: {Name: "cluster_arn", Cardinality: low, Kinds: taskContainers,
		Field: "cluster_arn", Condition: "the cluster's name is known", Doc: "the cluster"},
	ruleZoneDash: {Name: "availability-zone", Cardinality: low,
		Kinds: taskContainers, Field: "availability_zone", Condition: "the task runs on Fargate",
		Doc: "availability zone"},
	ruleZone: {Name: "availability_zone", Cardinality: low,
		Kinds: taskContainers, Field: "availability_zone", Condition: "the task runs on Fargate",
		Doc: "availability zone, in the older spelling"},
	ruleInstanceResourceTag: {Name: "<key>", Cardinality: low, Kinds: taskContainers,
		Field:     `container_instance_tags["<key>"]`,
		Condition: "not on Fargate; option ecs_collect_resource_tags_ec2",
		Doc:       "AWS tags of the container instance, lower-case, without those of AWS itself"},
	ruleTaskResourceTag: {Name: "<key>", Cardinality: low, Kinds: taskContainers,
		Field: `tags["<key>"]`, Condition: "not on Fargate; option ecs_collect_resource_tags_ec2",
		Doc: "AWS tags of the task, lower-case, without those of AWS itself"},
	ruleECSContainerName: {Name: "ecs_container_name", Cardinality: low, Kinds: containers,
		of:    tasks,
		Field: "containers[].name", Doc: "name within the task"},
	// Images.
	ruleMetadataImageName: {Name: "image_name", Cardinality: low, Kinds: images, Field: "name",
		Doc: "the image's name as it is, possibly with a tag or only a digest"},
	ruleMetadataShortImage: {Name: "short_image", Cardinality: low, Kinds: images,
		Field: "repo_tags, repo_digests", Doc: "last part of the path of each repository"},
	ruleMetadataImageTag: {Name: "image_tag", Cardinality: low, Kinds: images, Field: "repo_tags",
		Doc: "each tag"},
	ruleOSName: {Name: "os_name", Cardinality: low, Kinds: images, Field: "os",
		Doc: "operating system"},
	ruleOSVersion: {Name: "os_version", Cardinality: low, Kinds: images,
		Field: "os_version", Doc: "version of the operating system"},
	ruleArchitecture: {Name: "architecture", Cardinality: low, Kinds: images,
		Field: "architecture", Doc: "processor architecture"},
	// Kubernetes objects.
	ruleMappedObjectLabel: {Name: "<name>", Cardinality: low, Kinds: objectsAndPods, of: objects,
		Field: `labels["<label>"]`,
		Doc:   `options kubernetes_resources_labels_as_tags and those for namespaces and nodes, or a rule; high with "+". For a pod those of its namespace, its node and its queues`},
	ruleMappedObjectAnnotation: {Name: "<name>", Cardinality: low, Kinds: objectsAndPods,
		of:    objects,
		Field: `annotations["<annotation>"]`,
		Doc:   `option kubernetes_resources_annotations_as_tags and those for namespaces and nodes, or a rule; high with "+". For a pod those of its namespace, its node and its queues`},
	ruleDeploymentAutoscaler: {Name: "kube_autoscaler_kind", Cardinality: low, Kinds: deployments,
		Field: "autoscaler_kinds", Doc: "each kind of autoscaler of the deployment"},
	ruleServerVersion: {Name: "kube_server_version", Cardinality: low, Kinds: capabilities,
		Field: "server_version", Doc: "version of the API server"},
	ruleCRDGroup: {Name: "crd_group", Cardinality: low, Kinds: crds, Field: "group",
		Doc: "API group"},
	ruleCRDKind: {Name: "crd_kind", Cardinality: low, Kinds: crds,
		Field: "resource_kind", Doc: "kind of the resource"},
	ruleCRDVersion: {Name: "crd_version", Cardinality: low, Kinds: crds,
		Field: "version", Doc: "version of the resource"},
	ruleCRDName: {Name: "crd_name", Cardinality: low, Kinds: crds, Field: "name",
		Doc: "name of the definition"},
	ruleCRDNamespace: {Name: "crd_namespace", Cardinality: low, Kinds: crds,
		Field: "namespace", Doc: "namespace of the definition"},
	ruleServiceNamespace: {Name: "kube_namespace", Cardinality: low, Kinds: services,
		Field: "namespace", Doc: "the namespace"},
	// Kueue.
	ruleLocalQueue: {Name: "kueue_local_queue", Cardinality: low, Kinds: queues,
		Field: "name", Doc: "local queue"},
	ruleClusterQueue: {Name: "kueue_cluster_queue", Cardinality: low, Kinds: queues,
		Field: "cluster_queue_name", Doc: "cluster queue"},
	ruleQueueLabel: {Name: "kueue_local_queue", Cardinality: low, Kinds: podContainers,
		Field:     `labels["kueue.x-k8s.io/<local-queue-name>"]`,
		Condition: "the pod's workload is not known",
		Doc:       "local queue; the older label queue-name counts too"},
	ruleClusterQueueLabel: {Name: "kueue_cluster_queue", Cardinality: low, Kinds: podContainers,
		Field:     `labels["kueue.x-k8s.io/cluster-queue-name"]`,
		Condition: "the pod's workload is not known", Doc: "cluster queue"},
	ruleWorkloadLocalQueue: {Name: "kueue_local_queue", Cardinality: low, Kinds: workloads,
		Field: "queue_name", Doc: "local queue"},
	ruleWorkloadClusterQueue: {Name: "kueue_cluster_queue", Cardinality: low, Kinds: workloads,
		Field: "cluster_queue_name",
		Doc:   "cluster queue; if the workload does not say, that of its local queue"},
	ruleWorkloadFlavor: {Name: "kueue_resource_flavor", Cardinality: low, Kinds: workloads,
		Field: "pod_set_assignments[].flavors",
		Doc:   "each resource flavor assigned; for a pod, to its pod set"},
	ruleWorkload: {Name: "kueue_workload", Cardinality: orch, Kinds: workloads,
		Field: "name", Doc: "workload"},
	ruleWorkloadUID: {Name: "kueue_workload_uid", Cardinality: orch, Kinds: workloads,
		Field: "uid", Doc: "UID of the workload"},
	ruleFlavor: {Name: "kueue_resource_flavor", Cardinality: low, Kinds: flavors,
		Field: "name", Doc: "resource flavor"},
	ruleFlavorVendor: {Name: "gpu_vendor", Cardinality: low, Kinds: flavors,
		Field: "node_affinity_labels", Condition: "there is a label of nvidia.com",
		Doc: `"nvidia"`},
	ruleFlavorDevice: {Name: "gpu_device", Cardinality: low, Kinds: flavors,
		Field: `node_affinity_labels["nvidia.com/gpu.product"]`,
		Doc:   "GPU model as the label spells it"},
	ruleFlavorType: {Name: "gpu_type", Cardinality: low, Kinds: flavors,
		Field: `node_affinity_labels["nvidia.com/gpu.product"]`, Doc: "GPU model in short"},
	ruleFlavorArchitecture: {Name: "gpu_architecture", Cardinality: low, Kinds: flavors,
		Field: `node_affinity_labels["nvidia.com/gpu.family"]`,
		Doc:   "GPU architecture, lower-case"},
	ruleFlavorDriver: {Name: "gpu_driver_version", Cardinality: low, Kinds: flavors,
		Field: `node_affinity_labels["nvidia.com/cuda.driver-version.full"]`,
		Doc:   "version of the GPU driver"},
	ruleFlavorLabel: {Name: "<name>", Cardinality: low, Kinds: flavors,
		Field: `node_affinity_labels["nvidia.com/<label>"]`,
		Doc:   "any other label of nvidia.com, its dots as underscores"},
	// GPUs; processes that compute on one carry the same tags, and containers that may.
	ruleGPUVendorTag: {Name: "gpu_vendor", Cardinality: low, Kinds: gpus, Field: "vendor",
		Doc: "maker, lower-case"},
	ruleGPUDevice: {Name: "gpu_device", Cardinality: low, Kinds: gpus, Field: "device",
		Doc: "commercial name, lower-case, blanks as underscores"},
	ruleGPUUUID: {Name: "gpu_uuid", Cardinality: low, Kinds: gpus, Field: "id",
		Doc: "UUID, lower-case"},
	ruleGPUDriver: {Name: "gpu_driver_version", Cardinality: low, Kinds: gpus,
		Field: "driver_version", Doc: "version of the driver"},
	ruleGPUVirtualization: {Name: "gpu_virtualization_mode", Cardinality: low, Kinds: gpus,
		Field: "virtualization_mode", Doc: "how the device is virtualised"},
	ruleGPUArchitecture: {Name: "gpu_architecture", Cardinality: low, Kinds: gpus,
		Field: "architecture", Doc: "architecture, lower-case"},
	ruleGPUType: {Name: "gpu_type", Cardinality: low, Kinds: gpus, Field: "gpu_type",
		Doc: "model in short, lower-case"},
	ruleGPUSlicing: {Name: "gpu_slicing_mode", Cardinality: low, Kinds: gpus,
		Field: "device_type",
		Doc:   `"mig" for a slice and for a device that is cut into slices, else "none"`},
	ruleGPUParent: {Name: "gpu_parent_uuid", Cardinality: low, Kinds: gpus,
		Field: "parent_gpu_uuid",
		Doc:   "UUID of the device a slice is of; a whole device names itself"},
	ruleGPUPCI: {Name: "gpu_pci_bus_id", Cardinality: low, Kinds: gpus,
		Field: "pci_bus_id", Doc: "PCI address, lower-case"},
	// Processes.
	ruleProcessService: {Name: "service", Cardinality: low, Standard: true, Kinds: processes,
		Field: "service.ust.service", Doc: "unified service tagging: service"},
	ruleProcessEnv: {Name: "env", Cardinality: low, Standard: true, Kinds: processes,
		Field: "service.ust.env", Doc: "unified service tagging: environment"},
	ruleProcessVersion: {Name: "version", Cardinality: low, Standard: true, Kinds: processes,
		Field: "service.ust.version", Doc: "unified service tagging: version"},
	ruleTracerName: {Name: "tracer_service_name", Cardinality: low, Kinds: processes,
		Field:     "service.tracer_metadata[].service_name",
		Condition: "it is not the value of unified service tagging",
		Doc:       "service as a tracer in the process has it"},
	ruleTracerEnv: {Name: "tracer_service_env", Cardinality: low, Kinds: processes,
		Field:     "service.tracer_metadata[].service_env",
		Condition: "it is not the value of unified service tagging",
		Doc:       "environment as a tracer in the process has it"},
	ruleTracerVersion: {Name: "tracer_service_version", Cardinality: low, Kinds: processes,
		Field:     "service.tracer_metadata[].service_version",
		Condition: "it is not the value of unified service tagging",
		Doc:       "version as a tracer in the process has it"},
	ruleProcessTag: {Name: "<name>", Cardinality: low, Kinds: processes,
		Field: "service.tracer_metadata[].process_tags",
		Doc:   "tags that a tracer found for its process"},
	// Everything.
	ruleHostTag: {Name: "<tag>", Cardinality: low, Kinds: hosts, Field: "host_tags",
		Doc: "complete tags of the host, on the global entity"},
	ruleStaticTag: {Name: "<tag>", Cardinality: low, Kinds: podContainers,
		Field: "tags, extra_tags", Condition: "the machine is no host of the user: Fargate",
		Doc: "options tags and extra_tags"},
}
