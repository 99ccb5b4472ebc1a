package extract

import (
	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Labels of containers and images that make tags.
var containerLabels = [...]keyRule{
	{"com.datadoghq.tags.env", ruleLabelEnv},
	{"com.datadoghq.tags.service", ruleLabelService},
	{"com.datadoghq.tags.version", ruleLabelVersion},
	{"com.docker.swarm.service.name", ruleSwarmService},
	{"com.docker.stack.namespace", ruleSwarmNamespace},
	{"io.rancher.stack.name", ruleRancherStack},
	{"io.rancher.stack_service.name", ruleRancherService},
	{"io.rancher.container.name", ruleRancherContainer},
	{"org.opencontainers.image.revision", ruleLabelCommit},
	{"org.opencontainers.image.source", ruleLabelRepository},
}

// Labels that the kubelet has the runtime put on the containers of its pods. What they say counts
// until the pod tells of the container.
var provisionalLabels = [...]keyRule{
	{"io.kubernetes.pod.name", ruleLabelPodName},
	{"io.kubernetes.pod.namespace", ruleLabelNamespace},
	{containerNameLabel, ruleLabelContainerName}, // the last
}

const (
	containerNameLabel = "io.kubernetes.container.name"
	sandboxName        = "POD" // what the Docker shims call a pod's sandbox
)

// labelTags is the label with a list of whole tags.
const labelTags = "com.datadoghq.ad.tags"

// Environment variables of containers that make standard tags.
var standardEnv = [...]keyRule{
	{"DD_ENV", ruleDDEnv},
	{"DD_SERVICE", ruleDDService},
	{"DD_VERSION", ruleDDVersion},
}

// Environment variables of containers that make other tags.
var containerEnv = [...]keyRule{
	{"DD_GIT_COMMIT_SHA", ruleEnvCommit},
	{"DD_GIT_REPOSITORY_URL", ruleEnvRepository},
	{"MARATHON_APP_ID", ruleMarathonApp},
	{"CHRONOS_JOB_NAME", ruleChronosJob},
	{"CHRONOS_JOB_OWNER", ruleChronosJobOwner},
	{"MESOS_TASK_ID", ruleMesosTask},
	{"NOMAD_TASK_NAME", ruleNomadTask},
	{"NOMAD_JOB_NAME", ruleNomadJob},
	{"NOMAD_GROUP_NAME", ruleNomadGroup},
	{"NOMAD_NAMESPACE", ruleNomadNamespace},
	{"NOMAD_DC", ruleNomadDC},
}

// container adds the tags a container has by itself, and those of its pod that it knows while that
// does not tell of it: not yet, or not any more.
func (x *Extractor) container(b *builder, c *workloadmeta.Container, p parents) {
	if c.Runtime == workloadmeta.RuntimeGarden {
		for _, tag := range c.CollectorTags {
			b.addVerbatim(ruleCollectorTag, tag)
		}
		return
	}
	b.add(ruleContainerName, c.Name)
	b.add(ruleContainerID, c.ID)
	imageTags(b, &c.Image)
	if c.Runtime == workloadmeta.RuntimeDocker && c.Image.Name != "" {
		if c.Image.Tag == "" {
			b.add(ruleDockerImage, c.Image.Name)
		} else {
			b.add(ruleDockerImage, c.Image.Name+":"+c.Image.Tag)
		}
	}
	if c.Owner != nil && c.Owner.Kind == workloadmeta.KindKubernetesPod &&
		(p.pod == nil || containerOf(p.pod, c.ID) == nil) {
		labels := provisionalLabels[:]
		if c.Labels[containerNameLabel] == sandboxName {
			labels = labels[:len(labels)-1]
		}
		b.addKeys(labels, c.Labels)
	}
	x.labelTags(b, x.containerLabels, c.Labels)
	serviceEnv(b, c.EnvVars)
	b.addKeys(containerEnv[:], c.EnvVars)
	b.addMapped(x.containerEnv, ruleMappedEnv, c.EnvVars)
	b.addAll(ruleGPUVendor, c.Resources.GPUVendorList)
	containerGPUs(b, c)
	if c.ResizePolicy != nil {
		b.add(ruleCPURestartPolicy, c.ResizePolicy.CPURestartPolicy)
		b.add(ruleMemoryRestartPolicy, c.ResizePolicy.MemoryRestartPolicy)
	}
	x.staticTags(b)
}

// imageTags adds the tags of a container's image.
func imageTags(b *builder, i *workloadmeta.ContainerImage) {
	b.add(ruleImageName, i.Name)
	b.add(ruleShortImage, i.ShortName)
	b.add(ruleImageTag, i.Tag)
	b.add(ruleImageID, i.ID)
}

// labelTags adds the tags of the labels of a container or an image.
func (x *Extractor) labelTags(b *builder, mapped *rules.Table, labels map[string]string) {
	if len(labels) == 0 {
		return
	}
	b.addKeys(containerLabels[:], labels)
	b.addMapped(mapped, ruleMappedContainerLabel, labels)
	if list, ok := labels[labelTags]; ok {
		tagList(b, `labels["`+labelTags+`"]`, list)
	}
}

// serviceEnv adds the standard tags of a container's environment variables.
func serviceEnv(b *builder, env map[string]string) {
	b.addKeys(standardEnv[:], env)
	otel(b, env)
}
