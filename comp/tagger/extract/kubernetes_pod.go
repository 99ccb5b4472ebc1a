package extract

import (
	"fmt"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Labels of pods that make tags.
var podLabels = [...]keyRule{
	{"tags.datadoghq.com/env", rulePodEnv},
	{"tags.datadoghq.com/service", rulePodService},
	{"tags.datadoghq.com/version", rulePodVersion},
	{"app.kubernetes.io/name", ruleAppName},
	{"app.kubernetes.io/instance", ruleAppInstance},
	{"app.kubernetes.io/version", ruleAppVersion},
	{"app.kubernetes.io/component", ruleAppComponent},
	{"app.kubernetes.io/part-of", ruleAppPartOf},
	{"app.kubernetes.io/managed-by", ruleAppManagedBy},
}

// Annotations of pods that make tags.
var podAnnotations = [...]keyRule{
	{"openshift.io/deployment-config.name", ruleOpenShiftConfig},
	{"openshift.io/deployment.name", ruleOpenShiftDeployment},
	{"admission.datadoghq.com/rc.id", ruleRemoteConfigID},
	{"admission.datadoghq.com/rc.rev", ruleRemoteConfigRev},
}

// Labels of pods that make tags of one container; its name and a dot come between.
var scopedLabels = [...]keyRule{
	{"env", ruleContainerEnv},
	{"service", ruleContainerService},
	{"version", ruleContainerVersion},
}

const (
	scopedLabelPrefix     = "tags.datadoghq.com/"
	tagsAnnotationPrefix  = "ad.datadoghq.com/"
	podTagsAnnotation     = tagsAnnotationPrefix + "tags"
	disableTagsAnnotation = "tags.datadoghq.com/disable"
	autoscalerAnnotation  = "autoscaling.datadoghq.com/autoscaler-id"
	autoscalerKind        = "datadogpodautoscaler"
)

func (x *Extractor) podTags(b *builder, p *workloadmeta.KubernetesPod, lookup Lookup) {
	b.add(rulePodName, p.Name)
	b.add(ruleNamespace, p.Namespace)
	b.add(rulePodPhase, strings.ToLower(p.Phase))
	b.add(rulePriorityClass, p.PriorityClass)
	b.add(ruleQOS, p.QOSClass)
	b.add(ruleRuntimeClass, p.RuntimeClass)
	b.addAll(rulePodGPUVendor, p.GPUVendorList)

	b.addKeys(podLabels[:], p.Labels)
	b.addMapped(x.podLabels, ruleMappedPodLabel, p.Labels)
	b.addMapped(x.podAnnotations, ruleMappedPodAnnotation, p.Annotations)
	b.addKeys(podAnnotations[:], p.Annotations)
	if p.Annotations[autoscalerAnnotation] != "" {
		b.add(ruleAutoscaler, autoscalerKind)
	}
	b.addAll(rulePodAutoscaler, p.AutoscalerKinds)
	if text, ok := p.Annotations[podTagsAnnotation]; ok {
		tagObject(b, rulePodTags, "", `annotations["`+podTagsAnnotation+`"]`, text,
			resolver{pod: p, env: x.lookupEnv})
	}
	x.podServices(b, p, lookup)
	x.ownerTags(b, p)
	x.podKueue(b, p, lookup)
	x.staticTags(b)
}

// podSurroundings adds what the map options and rules make of the labels and annotations of a pod's
// namespace, and of its node. It comes last, because a name that the container or the pod has given
// is not given again, nor one of the namespace's by the node.
func (x *Extractor) podSurroundings(b *builder, p *workloadmeta.KubernetesPod, lookup Lookup) {
	add := func(resource string, tables objectTables, m *workloadmeta.KubernetesMetadata) {
		b.of(resource)
		b.cite(m)
		b.addMapped(tables.labels, ruleMappedObjectLabel, m.Labels)
		b.addMapped(tables.annotations, ruleMappedObjectAnnotation, m.Annotations)
		b.cite(p)
	}
	b.farther()
	if namespace := x.namespaceOf(p, lookup); namespace != nil {
		add("namespaces", x.namespaces, namespace)
	} else {
		b.of("namespaces")
		b.addMapped(x.namespaces.labels, ruleMappedNamespaceLabel, p.NamespaceLabels)
		b.addMapped(x.namespaces.annotations, ruleMappedNamespaceAnnotation,
			p.NamespaceAnnotations)
	}
	b.farther()
	if node := x.nodeOf(p, lookup); node != nil {
		add("nodes", x.nodes, node)
	}
	b.far = false
	b.of("pods")
}

// namespaceOf returns the namespace of a pod, nil if it is not known or no rule reads namespaces.
func (x *Extractor) namespaceOf(p *workloadmeta.KubernetesPod,
	lookup Lookup) *workloadmeta.KubernetesMetadata {
	if x.namespaces.empty() || p.Namespace == "" {
		return nil
	}
	return findObject(lookup, namespaceID(p))
}

// nodeOf returns the node of a pod, nil if it is not known or no rule reads nodes.
func (x *Extractor) nodeOf(p *workloadmeta.KubernetesPod,
	lookup Lookup) *workloadmeta.KubernetesMetadata {
	if x.nodes.empty() || p.NodeName == "" {
		return nil
	}
	return findObject(lookup, nodeID(p))
}

// namespacePrefix begins the ID of a namespace.
const namespacePrefix = "/namespaces//"

func namespaceID(p *workloadmeta.KubernetesPod) workloadmeta.EntityID {
	return workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesMetadata,
		ID: namespacePrefix + p.Namespace}
}

func nodeID(p *workloadmeta.KubernetesPod) workloadmeta.EntityID {
	return workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesMetadata,
		ID: "/nodes//" + p.NodeName}
}

func findObject(lookup Lookup, id workloadmeta.EntityID) *workloadmeta.KubernetesMetadata {
	m, _ := find[*workloadmeta.KubernetesMetadata](lookup, id.Kind, id.ID)
	return m
}

// maxServices bounds how many services a pod has tags of, beside those that it lists itself.
const maxServices = 50

// podServices adds the services that a pod is behind: those that have it as a member, under
// either of its UIDs, and those that it lists itself.
func (x *Extractor) podServices(b *builder, p *workloadmeta.KubernetesPod, lookup Lookup) {
	if !x.wantsServices(p) {
		return
	}
	b.addAll(ruleKubeService, p.KubeServices)
	for _, uid := range uids(p) {
		found := lookup.Find(memberOf(uid))
		if len(found) > maxServices {
			b.problem("id", fmt.Errorf("%d services have the pod as a member; only the first %d"+
				" make tags", len(found), maxServices))
			found = found[:maxServices]
		}
		for _, e := range found {
			_, name, _ := strings.Cut(e.GetID().ID, "/")
			b.cite(e)
			b.add(ruleServiceName, name)
		}
	}
	b.cite(p)
}

func (x *Extractor) wantsServices(p *workloadmeta.KubernetesPod) bool {
	return !x.noKubeService && !listed(p.Annotations[disableTagsAnnotation], "kube_service")
}

// uids returns the UIDs of a pod: a static pod has one of the kubelet's, which is its ID, and one
// of the API server's.
func uids(p *workloadmeta.KubernetesPod) []string {
	if p.APIUID == "" || p.APIUID == p.ID {
		return []string{p.ID}
	}
	return []string{p.ID, p.APIUID}
}

// listed reports whether name is an item of a list separated by commas. Blanks around
// items do not count.
func listed(list, name string) bool {
	if list == "" {
		return false
	}
	for item := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(item) == name {
			return true
		}
	}
	return false
}

// podContainer adds what a pod says of one of its containers, and the standard tags of
// the container's own environment: they must not be hidden by those of the pod, which
// has the higher priority.
func (x *Extractor) podContainer(b *builder, p *workloadmeta.KubernetesPod,
	c *workloadmeta.OrchestratorContainer, container *workloadmeta.Container) {
	b.add(ruleKubeContainerName, c.Name)
	imageTags(b, &c.Image)
	var key [128]byte
	for i := range scopedLabels {
		if c.Name == "" || len(p.Labels) == 0 {
			break
		}
		name := append(append(append(key[:0], scopedLabelPrefix...), c.Name...), '.')
		if value, ok := p.Labels[string(append(name, scopedLabels[i].key...))]; ok {
			b.addKeyed(scopedLabels[i].rule, c.Name, value)
		}
	}
	if c.Name != "" {
		name := append(append(append(key[:0], tagsAnnotationPrefix...), c.Name...), ".tags"...)
		if text, ok := p.Annotations[string(name)]; ok {
			tagObject(b, ruleContainerTags, c.Name, `annotations["`+string(name)+`"]`, text,
				resolver{pod: p, container: container, env: x.lookupEnv})
		}
	}

	b.read(container)
	b.add(ruleContainerID, container.ID)
	if p.Name != "" {
		name := container.Name
		if name == "" {
			name = c.Name
		}
		b.add(ruleDisplayContainerName, name+"_"+p.Name)
	}
	serviceEnv(b, container.EnvVars)
	b.read(p)
}
