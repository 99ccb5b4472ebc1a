package extract

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Lookup finds other entities: the containers of a pod, the GPUs of a process, the
// queues of a Kueue workload. An error means that the entity is not known. A nil
// Lookup knows nothing.
type Lookup interface {
	Get(id workloadmeta.EntityID) (workloadmeta.Entity, error)
}

// Extractor makes tags by fixed options. Create one with [New]. It may be used by any
// number of goroutines.
type Extractor struct {
	separators map[string]string // tag name → separator of its values
	static     []string

	containerLabels, containerEnv             mapping
	podLabels, podAnnotations                 mapping
	namespaceLabels, namespaceAnnotations     mapping
	resourceLabels, resourceAnnotations       map[string]*mapping // by "<plural>" or "<plural>.<group>"
	volumeClaims, noKubeService               bool
	ecsResourceTags, ecsReplaceColon, sidecar bool
	noClusterName                             bool
	lookupEnv                                 func(string) (string, bool)

	builders sync.Pool // of *builder
}

// New compiles the options. The error joins everything that is wrong with them; each
// part names the option, the key and the problem.
func New(o Options) (*Extractor, error) {
	var errs []error
	problem := func(err error) { errs = append(errs, err) }
	x := &Extractor{
		separators: o.TagValueSplitSeparator,
		containerLabels: newMapping(problem, configured{"container_labels_as_tags", o.ContainerLabelsAsTags},
			configured{"docker_labels_as_tags", o.DockerLabelsAsTags}),
		containerEnv: newMapping(problem, configured{"container_env_as_tags", o.ContainerEnvAsTags},
			configured{"docker_env_as_tags", o.DockerEnvAsTags}),
		volumeClaims:    o.KubernetesPersistentVolumeClaimsAsTags,
		noKubeService:   slices.Contains(o.KubernetesADTagsDisabled, "kube_service"),
		ecsResourceTags: o.ECSCollectResourceTagsEC2,
		ecsReplaceColon: o.ECSResourceTagsReplaceColon,
		sidecar:         o.ECSSidecar,
		noClusterName:   o.DisableClusterNameTagKey,
		lookupEnv:       o.LookupEnv,
	}
	for _, name := range sortedKeys(o.TagValueSplitSeparator) {
		if o.TagValueSplitSeparator[name] == "" {
			problem(fmt.Errorf("option tag_value_split_separator: key %q: empty separator", name))
		}
	}
	x.resourceLabels = resourceMappings(problem, "kubernetes_resources_labels_as_tags", o.KubernetesResourcesLabelsAsTags, map[string]configured{
		"pods":       {"kubernetes_pod_labels_as_tags", o.KubernetesPodLabelsAsTags},
		"namespaces": {"kubernetes_namespace_labels_as_tags", o.KubernetesNamespaceLabelsAsTags},
		"nodes":      {"kubernetes_node_labels_as_tags", o.KubernetesNodeLabelsAsTags},
	})
	x.resourceAnnotations = resourceMappings(problem, "kubernetes_resources_annotations_as_tags", o.KubernetesResourcesAnnotationsAsTags, map[string]configured{
		"pods":       {"kubernetes_pod_annotations_as_tags", o.KubernetesPodAnnotationsAsTags},
		"namespaces": {"kubernetes_namespace_annotations_as_tags", o.KubernetesNamespaceAnnotationsAsTags},
		"nodes":      {"kubernetes_node_annotations_as_tags", o.KubernetesNodeAnnotationsAsTags},
	})
	x.podLabels, x.podAnnotations = *x.resourceLabels["pods"], *x.resourceAnnotations["pods"]
	x.namespaceLabels, x.namespaceAnnotations = *x.resourceLabels["namespaces"], *x.resourceAnnotations["namespaces"]
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("tag options: %w", err)
	}
	x.builders.New = func() any { return &builder{x: x} }
	x.static = x.splitStatic(o.StaticTags)
	return x, nil
}

// resourceMappings compiles the mappings of all resources: for those with an option
// of their own the entries of both options, the generic one winning.
func resourceMappings(problem func(error), option string, generic map[string]map[string]string, specific map[string]configured) map[string]*mapping {
	sources := map[string][]configured{}
	for resource, c := range specific {
		sources[resource] = append(sources[resource], c)
	}
	for _, resource := range sortedKeys(generic) {
		name := strings.TrimSuffix(resource, ".")
		sources[name] = append(sources[name], configured{option + "[\"" + resource + "\"]", generic[resource]})
	}
	compiled := make(map[string]*mapping, len(sources))
	for _, resource := range sortedKeys(sources) {
		m := newMapping(problem, sources[resource]...)
		compiled[resource] = &m
	}
	return compiled
}

// Extract returns the tag infos of an entity: about itself, then about those of its
// containers that lookup knows, then about the global entity. A kind that has no tags
// gives none; an entity that happens to have none gives one empty info about itself.
//
// The infos and their lists are the caller's. IsComplete is not set.
func (x *Extractor) Extract(e workloadmeta.Entity, lookup Lookup) []tagger.TagInfo {
	return x.run(e, lookup, nil)
}

func (x *Extractor) run(e workloadmeta.Entity, lookup Lookup, t *trace) []tagger.TagInfo {
	if lookup == nil {
		lookup = emptyLookup{}
	}
	b := x.builders.Get().(*builder)
	defer func() {
		b.release()
		x.builders.Put(b)
	}()
	b.trace = t
	b.source = Source(e.GetID().Kind)
	b.read(e.GetID())
	switch e := e.(type) {
	case *workloadmeta.Container:
		x.container(b, e)
	case *workloadmeta.KubernetesPod:
		return x.pod(b, e, lookup)
	case *workloadmeta.ECSTask:
		return x.ecsTask(b, e, lookup)
	case *workloadmeta.ContainerImageMetadata:
		x.containerImage(b, e)
	case *workloadmeta.KubernetesMetadata:
		x.kubernetesMetadata(b, e)
	case *workloadmeta.KubernetesDeployment:
		x.kubernetesDeployment(b, e)
	case *workloadmeta.Process:
		x.process(b, e, lookup)
	case *workloadmeta.GPU:
		gpuTags(b, e)
	case *workloadmeta.CRD:
		crdTags(b, e)
	case *workloadmeta.KubeCapabilities:
		b.add(ruleServerVersion, e.ServerVersion)
	case *workloadmeta.KueueQueue:
		x.kueueQueue(b, e)
	case *workloadmeta.KueueResourceFlavor:
		x.kueueFlavor(b, e)
	case *workloadmeta.KueueWorkload:
		x.kueueWorkload(b, e, lookup, allPodSets)
	case *workloadmeta.Host:
		for _, tag := range e.HostTags {
			b.addVerbatim(ruleHostTag, tag)
		}
		return []tagger.TagInfo{b.info(tagger.GlobalEntityID)}
	default: // kubelets and their metrics have no tags
		return nil
	}
	return []tagger.TagInfo{b.info(TaggerID(e.GetID()))}
}

// emptyLookup knows nothing.
type emptyLookup struct{}

func (emptyLookup) Get(workloadmeta.EntityID) (workloadmeta.Entity, error) {
	return nil, tagger.ErrUnknown
}

// find returns an entity if lookup has it and it is of the Go type of its kind.
func find[T workloadmeta.Entity](lookup Lookup, kind workloadmeta.Kind, id string) (found T, ok bool) {
	if id == "" {
		return found, false
	}
	e, err := lookup.Get(workloadmeta.EntityID{Kind: kind, ID: id})
	if err != nil {
		return found, false
	}
	found, ok = e.(T)
	return found, ok
}

// sources are the names of the sources of the kinds' tag infos.
var sources = func() (names [workloadmeta.NumKinds]string) {
	for _, k := range workloadmeta.Kinds() {
		names[k] = "workloadmeta-" + k.String()
	}
	return names
}()

// Source returns the source of the tag infos made from a kind of entity,
// "workloadmeta-<kind>"; "" for an invalid kind.
func Source(kind workloadmeta.Kind) string {
	if !kind.Valid() {
		return ""
	}
	return sources[kind]
}

var prefixes = [workloadmeta.NumKinds]string{
	workloadmeta.KindContainer:            tagger.PrefixContainer,
	workloadmeta.KindKubernetesPod:        tagger.PrefixKubernetesPod,
	workloadmeta.KindKubernetesMetadata:   tagger.PrefixKubernetesMetadata,
	workloadmeta.KindKubernetesDeployment: tagger.PrefixDeployment,
	workloadmeta.KindECSTask:              tagger.PrefixECSTask,
	workloadmeta.KindContainerImage:       tagger.PrefixContainerImage,
	workloadmeta.KindProcess:              tagger.PrefixProcess,
	workloadmeta.KindHost:                 tagger.PrefixHost,
	workloadmeta.KindGPU:                  tagger.PrefixGPU,
	workloadmeta.KindKubelet:              tagger.PrefixKubelet,
	workloadmeta.KindKubeletMetrics:       tagger.PrefixKubeletMetrics,
	workloadmeta.KindKubeCapabilities:     tagger.PrefixKubeCapabilities,
	workloadmeta.KindCRD:                  tagger.PrefixCRD,
	workloadmeta.KindKueueQueue:           tagger.PrefixKueueQueue,
	workloadmeta.KindKueueResourceFlavor:  tagger.PrefixKueueResourceFlavor,
	workloadmeta.KindKueueWorkload:        tagger.PrefixKueueWorkload,
}

// TaggerID returns the name an entity has in the tagger; "" for an empty ID or an
// invalid kind. The tags of a host are not under its own name but under
// [tagger.GlobalEntityID].
func TaggerID(id workloadmeta.EntityID) tagger.EntityID {
	if id.ID == "" || !id.Kind.Valid() {
		return ""
	}
	return tagger.EntityID(prefixes[id.Kind] + "://" + id.ID)
}
