package extract

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/rollcall-dev/rollcall/comp/rules"
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
	static     []judged

	rules *rules.Set
	fates bool // whether rules are about tags that are made
	// conditional says that rules look at more of an entity than its kind and resource.
	conditional bool

	containerLabels, imageLabels, containerEnv *rules.Table
	podLabels, podAnnotations                  *rules.Table
	namespaceLabels, namespaceAnnotations      *rules.Table
	// by resource
	objects                                   [workloadmeta.NumKinds]map[string]objectTables
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
	x := &Extractor{
		separators:      o.TagValueSplitSeparator,
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
			errs = append(errs,
				fmt.Errorf("option tag_value_split_separator: key %q: empty separator", name))
		}
	}
	list, problems := o.TagRules()
	errs = append(errs, problems...)
	set, err := rules.Compile(list)
	if err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("tag options: %w", err)
	}
	x.setRules(set)
	x.builders.New = func() any { return &builder{x: x} }
	x.static = x.judgeStatic(o.StaticTags)
	return x, nil
}

// objectTables are the rules for the metadata of one Kubernetes resource.
type objectTables struct{ labels, annotations *rules.Table }

// objectKinds are the kinds of entities whose tags are made of labels and annotations by
// the resource they are.
var objectKinds = [...]workloadmeta.Kind{
	workloadmeta.KindKubernetesMetadata, workloadmeta.KindKubernetesDeployment,
	workloadmeta.KindKueueQueue, workloadmeta.KindKueueResourceFlavor,
	workloadmeta.KindKueueWorkload,
}

// setRules looks up once which rules are for what.
func (x *Extractor) setRules(set *rules.Set) {
	x.rules, x.fates, x.conditional = set, set.HasFates(), set.Conditional()
	x.containerLabels = set.Table(rules.Label, workloadmeta.KindContainer, "")
	x.imageLabels = set.Table(rules.Label, workloadmeta.KindContainerImage, "")
	x.containerEnv = set.Table(rules.Env, workloadmeta.KindContainer, "")
	x.podLabels = set.Table(rules.Label, workloadmeta.KindKubernetesPod, "pods")
	x.podAnnotations = set.Table(rules.Annotation, workloadmeta.KindKubernetesPod, "pods")
	x.namespaceLabels = set.Table(rules.Label, workloadmeta.KindKubernetesPod, "namespaces")
	x.namespaceAnnotations = set.Table(rules.Annotation, workloadmeta.KindKubernetesPod,
		"namespaces")
	for _, kind := range objectKinds {
		x.objects[kind] = map[string]objectTables{}
		for _, resource := range append(set.Resources(), rules.AnyResource) {
			x.objects[kind][resource] = objectTables{
				set.Table(rules.Label, kind, resource), set.Table(rules.Annotation, kind, resource),
			}
		}
	}
}

// Rules returns the rules in effect, those about containers included.
func (x *Extractor) Rules() *rules.Set { return x.rules }

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
	b.lookup = lookup
	b.read(e)
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
func find[T workloadmeta.Entity](lookup Lookup, kind workloadmeta.Kind, id string) (found T,
	ok bool) {
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
