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

// Extractor makes tags by fixed options. Create one with [New]. It may be used by any
// number of goroutines.
type Extractor struct {
	separators map[string]string // tag name → separator of its values
	static     []staticTag

	rules   *rules.Set
	effects bool // whether rules are about tags that are made
	// conditional says that rules look at more of an entity than its kind and resource.
	conditional bool

	containerLabels, imageLabels, containerEnv *rules.Table
	podLabels, podAnnotations                  *rules.Table
	// of the pods by the metadata of their namespaces and nodes
	namespaces, nodes objectTables
	// namesNamespaces says that a rule names namespaces, and not just does not rule them out.
	namesNamespaces bool
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
			errs = append(errs, &KeyError{"tag_value_split_separator", name,
				errors.New("empty separator")})
		}
	}
	list, problems := o.TagRules()
	set, err := rules.Compile(list)
	errs = append(append(errs, problems...), err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("tag options: %w", err)
	}
	x.setRules(set)
	x.builders.New = func() any { return &builder{x: x} }
	x.static = x.applyStatic(o.StaticTags)
	return x, nil
}

// objectTables are the rules for the metadata of one Kubernetes resource.
type objectTables struct{ labels, annotations *rules.Table }

func tablesOf(set *rules.Set, kind workloadmeta.Kind, resource string) objectTables {
	return objectTables{set.Table(rules.Label, kind, resource),
		set.Table(rules.Annotation, kind, resource)}
}

func (t objectTables) empty() bool { return t.labels == nil && t.annotations == nil }

// objectKinds are the kinds of entities whose tags are made of labels and annotations by
// the resource they are.
var objectKinds = [...]workloadmeta.Kind{
	workloadmeta.KindKubernetesMetadata, workloadmeta.KindKubernetesDeployment,
	workloadmeta.KindKubernetesService,
	workloadmeta.KindKueueQueue, workloadmeta.KindKueueResourceFlavor,
	workloadmeta.KindKueueWorkload,
}

// setRules looks up once which rules are for what.
func (x *Extractor) setRules(set *rules.Set) {
	x.rules, x.effects, x.conditional = set, set.HasEffects(), set.Conditional()
	x.containerLabels = set.Table(rules.Label, workloadmeta.KindContainer, "")
	x.imageLabels = set.Table(rules.Label, workloadmeta.KindContainerImage, "")
	x.containerEnv = set.Table(rules.Env, workloadmeta.KindContainer, "")
	x.podLabels = set.Table(rules.Label, workloadmeta.KindKubernetesPod, "pods")
	x.podAnnotations = set.Table(rules.Annotation, workloadmeta.KindKubernetesPod, "pods")
	x.namespaces = tablesOf(set, workloadmeta.KindKubernetesPod, "namespaces")
	x.nodes = tablesOf(set, workloadmeta.KindKubernetesPod, "nodes")
	x.namesNamespaces = slices.Contains(set.Resources(), "namespaces")
	for _, kind := range objectKinds {
		x.objects[kind] = map[string]objectTables{}
		for _, resource := range append(set.Resources(), rules.AnyResource) {
			x.objects[kind][resource] = tablesOf(set, kind, resource)
		}
	}
}

// Rules returns the rules in effect, those about containers included.
func (x *Extractor) Rules() *rules.Set { return x.rules }

// Extract returns the tag infos of an entity, all about itself: what it says, and for a
// container what its pod or task says of it. Each source gives one info, an empty one if it
// has no tags. A static pod has all of them twice, under either of its UIDs.
//
// The infos and their lists are the caller's.
func (x *Extractor) Extract(e workloadmeta.Entity, lookup Lookup) []tagger.TagInfo {
	return x.run(e, lookup, nil, nil)
}

// Global returns the tag infos about the global entity: what the host and the ECS task
// say of everything on this machine.
func (x *Extractor) Global(lookup Lookup) []tagger.TagInfo { return x.run(nil, lookup, nil, nil) }

// ExtractAndCheck is Extract, or for a nil entity Global, that also tells of what it
// cannot understand.
func (x *Extractor) ExtractAndCheck(e workloadmeta.Entity, lookup Lookup,
	report func(Problem)) []tagger.TagInfo {
	return x.run(e, lookup, nil, report)
}

// run makes the tags of an entity, or for nil those of the global entity.
func (x *Extractor) run(e workloadmeta.Entity, lookup Lookup, t *trace,
	report func(Problem)) []tagger.TagInfo {
	if lookup == nil {
		lookup = emptyLookup{}
	}
	b := x.builders.Get().(*builder)
	defer x.builders.Put(b)
	defer b.release()
	b.trace, b.report, b.lookup = t, report, lookup
	if e == nil {
		return x.global(b)
	}
	b.source = Source(e.GetID().Kind)
	b.read(e)
	switch e := e.(type) {
	case *workloadmeta.Container:
		return x.containerInfos(b, e)
	case *workloadmeta.KubernetesPod:
		return x.podInfos(b, e)
	case *workloadmeta.ECSTask:
		x.taskTags(b, e)
	case *workloadmeta.ContainerImageMetadata:
		x.containerImage(b, e)
	case *workloadmeta.KubernetesMetadata:
		x.objectTags(b, &e.EntityMeta)
	case *workloadmeta.KubernetesDeployment:
		x.kubernetesDeployment(b, e)
	case *workloadmeta.KubernetesService:
		x.kubernetesService(b, e)
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
	}
	return []tagger.TagInfo{b.info(TaggerID(e.GetID()), x.complete(e, lookup))}
}

// podInfos returns what a pod says of itself, under its ID and, for a static pod, under the UID
// that the API server knows it by.
func (x *Extractor) podInfos(b *builder, p *workloadmeta.KubernetesPod) []tagger.TagInfo {
	x.podTags(b, p, b.lookup)
	x.podSurroundings(b, p, b.lookup)
	info := b.info(TaggerID(p.EntityID), x.complete(p, b.lookup))
	other := otherID(p, b.lookup)
	if other == "" {
		return []tagger.TagInfo{info}
	}
	again := info
	again.Entity = other
	if b.trace != nil {
		b.trace.flush(other)
	}
	return []tagger.TagInfo{info, again}
}

// containerInfos returns what a container, its pod and its task say of it.
func (x *Extractor) containerInfos(b *builder, c *workloadmeta.Container) []tagger.TagInfo {
	id, p := TaggerID(c.EntityID), parentsOf(c, b.lookup)
	x.container(b, c, p)
	known := b.lookup.Complete(c.EntityID) && x.parentsComplete(c, p, b.lookup)
	own := b.info(id, known)
	if p.pod == nil && p.task == nil {
		return []tagger.TagInfo{own}
	}
	infos := append(make([]tagger.TagInfo, 0, 3), own)
	if p.pod != nil {
		b.begin(p.pod)
		x.podTags(b, p.pod, b.lookup)
		if listed := containerOf(p.pod, c.ID); listed != nil {
			x.podContainer(b, p.pod, listed, c)
		}
		b.own = &own
		x.podSurroundings(b, p.pod, b.lookup)
		infos = append(infos, b.info(id, known))
	}
	if p.task != nil {
		b.begin(p.task)
		x.taskTags(b, p.task)
		for i := range p.task.Containers {
			if p.task.Containers[i].ID == c.ID {
				b.add(ruleECSContainerName, p.task.Containers[i].Name)
				break
			}
		}
		infos = append(infos, b.info(id, known))
	}
	return infos
}

// containerOf returns what a pod lists of a container.
func containerOf(p *workloadmeta.KubernetesPod, id string) *workloadmeta.OrchestratorContainer {
	for _, list := range [...][]workloadmeta.OrchestratorContainer{p.InitContainers, p.Containers,
		p.EphemeralContainers} {
		for i := range list {
			if list[i].ID == id {
				return &list[i]
			}
		}
	}
	return nil
}

// global returns what the host and the task of this machine say of everything on it. Of
// several hosts or tasks it is the one with the last ID.
func (x *Extractor) global(b *builder) (infos []tagger.TagInfo) {
	if hosts := b.lookup.Find(everywhere(workloadmeta.KindHost)); len(hosts) > 0 {
		if host, ok := hosts[len(hosts)-1].(*workloadmeta.Host); ok {
			b.begin(host)
			for _, tag := range host.HostTags {
				b.addVerbatim(ruleHostTag, tag)
			}
			infos = append(infos, b.info(tagger.GlobalEntityID, true))
		}
	}
	for _, e := range slices.Backward(b.lookup.Find(everywhere(workloadmeta.KindECSTask))) {
		task, ok := e.(*workloadmeta.ECSTask)
		if !ok {
			continue
		}
		b.begin(task)
		if x.globalTaskTags(b, task) {
			return append(infos, b.info(tagger.GlobalEntityID, x.complete(task, b.lookup)))
		}
	}
	return infos
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
	workloadmeta.KindKubernetesService:    tagger.PrefixKubeService,
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

// WorkloadID is the inverse of [TaggerID]. It is false for an ID that stands for no workload.
func WorkloadID(id tagger.EntityID) (workloadmeta.EntityID, bool) {
	if i := slices.Index(prefixes[1:], id.Prefix()); i >= 0 && id.ID() != "" {
		return workloadmeta.EntityID{Kind: workloadmeta.Kind(i + 1), ID: id.ID()}, true
	}
	return workloadmeta.EntityID{}, false
}
