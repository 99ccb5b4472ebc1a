package apiserver

import (
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// followDeployments follows deployments by their metadata, which is all that is read of them.
func (c *Collector) followDeployments(core *core) follow {
	r := kubeapi.Resource{GroupVersionResource: deploymentResource, Metadata: true}
	return newFollow(c, core, r, thin(), core.deployments,
		byName(func(o *object.Metadata) (*workloadmeta.KubernetesDeployment, error) {
			if o.Name == "" {
				return nil, errNoName
			}
			return &workloadmeta.KubernetesDeployment{
				EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesDeployment,
					ID: namespaced(&o.Meta)},
				EntityMeta: workloadmeta.EntityMeta{Name: o.Name, Namespace: o.Namespace,
					Labels: o.Labels, Annotations: o.Annotations},
				Env:                 o.Labels["tags.datadoghq.com/env"],
				Service:             o.Labels["tags.datadoghq.com/service"],
				Version:             o.Labels["tags.datadoghq.com/version"],
				InjectableLanguages: languages(o.Annotations),
			}, nil
		}))
}

// languages reads the annotations that say which languages containers speak, such as
// internal.dd.datadoghq.com/init.setup.detected_langs: "java, python".
func languages(annotations map[string]string) workloadmeta.ContainerLanguages {
	var out workloadmeta.ContainerLanguages
	for name, list := range annotations {
		rest, ok := strings.CutPrefix(name, "internal.dd.datadoghq.com/")
		container, also := strings.CutSuffix(rest, ".detected_langs")
		if !ok || !also || container == "" {
			continue
		}
		var found []string
		for language := range strings.SplitSeq(list, ",") {
			if language = strings.TrimSpace(language); language != "" {
				found = append(found, language)
			}
		}
		if len(found) > 0 {
			if out == nil {
				out = workloadmeta.ContainerLanguages{}
			}
			slices.Sort(found)
			out[container] = slices.Compact(found)
		}
	}
	return out
}

// deploymentChanged reports a deployment, with the kinds of its autoscalers.
func (c *core) deploymentChanged(key string, _, is **workloadmeta.KubernetesDeployment) {
	if is == nil {
		c.unset(workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesDeployment, ID: key})
		return
	}
	d := *is
	if kinds := c.scalers.kinds(workload{d.Namespace, "Deployment", d.Name}); kinds != nil {
		scaled := *d
		scaled.AutoscalerKinds = kinds
		d = &scaled
	}
	c.set(d)
}
