package extract_test

import (
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
)

func BenchmarkExtract(b *testing.B) {
	o := extract.DefaultOptions()
	mapped := extract.DefaultOptions()
	mapped.ContainerLabelsAsTags = map[string]string{"team": "team", "acme.io/*": "lbl_%%label%%"}
	mapped.KubernetesPodLabelsAsTags = map[string]string{"app": "app", "*.io/*": "+%%label%%"}
	changed := ruled(b, `
- {tag: team, from: {label: acme.io/team}}
- {drop: image_id, when: {kind: container}}
- {rename: {kube_app_name: app}, when: {namespace: shop}}
- {cardinality: {pod_name: low}}
`)
	container := entity(b, `{"kind": "container", "id": "7d1e0aa17d1e0aa17d1e0aa17d1e0aa17d1e0aa17d1e0aa17d1e0aa17d1e0aa1", "name": "checkout-api", "runtime": "docker",
		"image": {"id": "sha256:aa11", "name": "acme/checkout", "short_name": "checkout", "tag": "2.4.1"},
		"labels": {"com.docker.compose.service": "checkout", "com.docker.compose.project": "shop", "com.datadoghq.tags.env": "prod", "acme.io/team": "core"},
		"env": {"DD_SERVICE": "checkout", "DD_VERSION": "2.4.1"}}`)
	pod, known := shop(b)
	for _, c := range []struct {
		name    string
		options extract.Options
	}{{"plain", o}, {"mapped", mapped}, {"changed by rules", changed}} {
		x := newExtractor(b, c.options)
		b.Run("container/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.Extract(container, known)
			}
		})
		b.Run("pod_with_2_containers/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			known := append(known, pod)
			for b.Loop() {
				for _, e := range known {
					x.Extract(e, known)
				}
			}
		})
	}
}
