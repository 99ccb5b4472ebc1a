package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// The standard workload: n containers, 10 per deployment, 20 deployments per namespace.
// The runtime source gives 5 low and 3 high tags, the orchestrator source 10 low, 3
// orchestrator, 1 high and 3 standard ones. No two strings share memory, as if each
// had been decoded from a payload of its own.

func containerID(i int) string {
	return fmt.Sprintf("%016x%016x%016x%016x", i*7919, i, i*104729, i)
}

func digest(i int) string { return "sha256:" + strings.Repeat(fmt.Sprintf("%08x", i/10*104729), 8) }

// infos are the tag infos of both sources about container i. Another version differs
// in one high tag of the runtime.
func infos(i, version int) []tagger.TagInfo {
	deployment, namespace := i/10, i/200
	id := containerID(i)
	pod := fmt.Sprintf("deployment-%d-6d4b75cb9-%05x", deployment, i)
	owner := func() string { return fmt.Sprintf("deployment-%d-6d4b75cb9", deployment) }
	service := func() string { return fmt.Sprintf("service:service-%d", deployment) }
	return []tagger.TagInfo{
		{
			Source: tagger.SourceContainer, Entity: tagger.Container(id), IsComplete: true,
			LowCardTags: []string{
				fmt.Sprintf("image_name:registry.example.com/shop/app-%d",
					deployment), fmt.Sprintf("short_image:app-%d", deployment),
				strings.Clone("image_tag:1.2.3"), "image_id:" +
					digest(i), strings.Clone("runtime:containerd"),
			},
			HighCardTags: []string{"container_id:" + id,
				fmt.Sprintf("container_name:k8s_app_%s_%d", pod, i), fmt.Sprintf("generation:%d",
					version)},
		},
		{
			Source: tagger.SourceKubernetesPod, Entity: tagger.Container(id), IsComplete: true,
			LowCardTags: []string{
				fmt.Sprintf("kube_namespace:namespace-%d",
					namespace), fmt.Sprintf("kube_deployment:deployment-%d", deployment),
				strings.Clone("kube_ownerref_kind:replicaset"),
				strings.Clone("kube_container_name:app"),
				fmt.Sprintf("kube_service:service-%d",
					deployment), strings.Clone("kube_qos:Burstable"), strings.Clone(
					"pod_phase:running"),
				strings.Clone("env:prod"), service(), strings.Clone("version:1.2.3"),
			},
			OrchestratorCardTags: []string{"pod_name:" + pod, "kube_replica_set:" + owner(),
				"kube_ownerref_name:" + owner()},
			HighCardTags: []string{"display_container_name:app_" + pod},
			StandardTags: []string{strings.Clone("env:prod"), service(),
				strings.Clone("version:1.2.3")},
		},
	}
}

// container is the entity behind the runtime's tags. Another version has another
// restart count.
func container(i, version int) *workloadmeta.Container {
	raw := fmt.Sprintf("registry.example.com/shop/app-%d:1.2.3", i/10)
	name, tag, _ := strings.Cut(raw, ":")
	return &workloadmeta.Container{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: containerID(i)},
		EntityMeta: workloadmeta.EntityMeta{
			Name: fmt.Sprintf("k8s_app_deployment-%d-6d4b75cb9-%05x_%d", i/10, i, i)},
		Image: workloadmeta.ContainerImage{
			ID: digest(i), RawName: raw, Name: name, Registry: name[:strings.Index(name, "/")],
			ShortName: name[strings.LastIndex(name, "/")+1:], Tag: tag,
		},
		Runtime: workloadmeta.RuntimeContainerd, PID: 1000 + i, RestartCount: version,
		State: workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning,
			CreatedAt: time.Unix(1_700_000_000, 0), StartedAt: time.Unix(1_700_000_001, 0)},
	}
}

func set(e workloadmeta.Entity) []workloadmeta.CollectorEvent {
	return []workloadmeta.CollectorEvent{
		{Type: workloadmeta.EventTypeSet, Source: workloadmeta.SourceRuntime, Entity: e}}
}
