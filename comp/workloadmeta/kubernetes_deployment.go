package workloadmeta

import (
	"maps"
	"slices"
)

// KubernetesDeployment is a deployment. Its ID is "<namespace>/<name>".
type KubernetesDeployment struct {
	EntityID
	EntityMeta
	Env                 string             `json:"env,omitempty"`
	Service             string             `json:"service,omitempty"`
	Version             string             `json:"version,omitempty"`
	InjectableLanguages ContainerLanguages `json:"injectable_languages,omitempty"`
	DetectedLanguages   ContainerLanguages `json:"detected_languages,omitempty"`
	// a set, such as {hpa}
	AutoscalerKinds []string `json:"autoscaler_kinds,omitempty"`
}

// ContainerLanguages says which languages each container of a workload speaks.
// The key is the container's name, with the prefix "init." for init containers;
// the list is a sorted set.
type ContainerLanguages map[string][]string

func (l ContainerLanguages) equal(o ContainerLanguages) bool {
	return maps.EqualFunc(l, o, slices.Equal[[]string])
}

func fillLanguages(dst *ContainerLanguages, src ContainerLanguages) {
	if len(*dst) == 0 || len(src) == 0 {
		if len(src) > 0 {
			*dst = src
		}
		return
	}
	out := maps.Clone(*dst)
	for name, languages := range src {
		united := out[name]
		fillList(&united, languages)
		out[name] = slices.Sorted(slices.Values(united))
	}
	*dst = out
}

// Equal implements [Entity].
func (d *KubernetesDeployment) Equal(other Entity) bool {
	o, ok := other.(*KubernetesDeployment)
	return ok && (d == o || d.EntityID == o.EntityID && d.EntityMeta.equal(&o.EntityMeta) &&
		d.Env == o.Env && d.Service == o.Service && d.Version == o.Version &&
		d.InjectableLanguages.equal(o.InjectableLanguages) &&
		d.DetectedLanguages.equal(o.DetectedLanguages) &&
		slices.Equal(d.AutoscalerKinds, o.AutoscalerKinds))
}

func (d *KubernetesDeployment) merged(views *views) Entity {
	out := &KubernetesDeployment{EntityID: d.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KubernetesDeployment)
		out.EntityMeta.fill(&v.EntityMeta)
		fill(&out.Env, v.Env)
		fill(&out.Service, v.Service)
		fill(&out.Version, v.Version)
		fillLanguages(&out.InjectableLanguages, v.InjectableLanguages)
		fillLanguages(&out.DetectedLanguages, v.DetectedLanguages)
		fillList(&out.AutoscalerKinds, v.AutoscalerKinds)
	}
	return out
}
