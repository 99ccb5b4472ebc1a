package extract_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
)

// TestRulesWithoutVectors covers what the recorded vectors leave out.
func TestRulesWithoutVectors(t *testing.T) {
	workload := `{"kind": "kubernetes_kueue_workload", "id": "ml/train", "name": "train", "namespace": "ml", "uid": "w-1", "queue_name": "team-a",
		"pod_set_assignments": [{"name": "main", "flavors": {"nvidia.com/gpu": "a100", "cpu": "plain"}}, {"name": "driver", "flavors": {"cpu": "plain"}}]}`
	localQueue := `{"kind": "kubernetes_kueue_queue", "id": "localqueue/ml/team-a", "name": "team-a", "namespace": "ml", "queue_type": "localqueue", "cluster_queue_name": "shared", "labels": {"tier": "gold"}}`
	clusterQueue := `{"kind": "kubernetes_kueue_queue", "id": "clusterqueue//shared", "name": "shared", "queue_type": "clusterqueue", "cluster_queue_name": "shared", "labels": {"tier": "silver"}}`
	flavor := `{"kind": "kubernetes_kueue_resource_flavor", "id": "a100", "name": "a100", "node_affinity_labels": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.family": "Ampere",
		"nvidia.com/cuda.driver-version.full": "550.107.02", "nvidia.com/mig.capable": "true", "pool": "gpu"}}`
	flavorTags := []string{"gpu_architecture:ampere", "gpu_device:NVIDIA-A100-SXM4-80GB",
		"gpu_driver_version:550.107.02", "gpu_type:a100", "gpu_vendor:nvidia",
		"kueue_resource_flavor:a100", "mig_capable:true"}
	queueOptions := extract.Options{KubernetesResourcesLabelsAsTags: map[string]map[string]string{
		"localqueues.kueue.x-k8s.io": {"tier": "local_tier"}, "clusterqueues.kueue.x-k8s.io": {
			"tier": "cluster_tier"},
	}}
	container := `{"kind": "container", "id": "c1", "name": "web", "hostname": "h1", "pid": 42, "network_ips": {"bridge": "172.17.0.2", "back": "10.9.0.2"},
		"ports": [{"port": 9000, "name": "admin"}, {"port": 80}]}`
	podWith := func(annotation, text string) string {
		return `{"kind": "kubernetes_pod", "id": "u1", "name": "cart-0", "namespace": "shop", "ip": "10.1.0.7", "annotations": {"` + annotation + `": ` + text + `}, "containers": [{"id": "c1", "name": "web"}]}`
	}
	podTags := []string{"kube_namespace:shop"}

	for _, c := range []struct {
		name                    string
		options                 extract.Options
		entity                  string
		known                   []string
		about                   tagger.EntityID
		low, orchestrator, high []string
	}{
		{name: "CRD",
			entity: `{"kind": "crd", "id": "queues.acme.io", "name": "queues.acme.io", "namespace": "ops", "group": "acme.io", "resource_kind": "Queue", "version": "v1"}`,
			about:  "crd://queues.acme.io", low: []string{"crd_group:acme.io", "crd_kind:Queue",
				"crd_name:queues.acme.io", "crd_namespace:ops", "crd_version:v1"}},
		{name: "capabilities",
			entity: `{"kind": "kubernetes_capabilities", "id": "x", "server_version": "v1.31.2"}`,
			about:  "kubernetes_capabilities://x", low: []string{"kube_server_version:v1.31.2"}},
		{name: "autoscaled deployment",
			entity: `{"kind": "kubernetes_deployment", "id": "shop/cart", "autoscaler_kinds": ["hpa", "vpa"]}`,
			about:  "deployment://shop/cart", low: []string{"kube_autoscaler_kind:hpa",
				"kube_autoscaler_kind:vpa"}},
		{name: "GPU cut into slices",
			entity: `{"kind": "gpu", "id": "GPU-A", "children_gpu_uuids": ["MIG-1"], "pci_bus_id": "0000:3B:00.0"}`,
			about:  "gpu://GPU-A", low: []string{"gpu_parent_uuid:gpu-a",
				"gpu_pci_bus_id:0000:3b:00.0", "gpu_slicing_mode:mig", "gpu_uuid:gpu-a"}},
		{name: "object without GVR", options: extract.Options{KubernetesResourcesLabelsAsTags: map[string]map[string]string{"deployments.apps": {"team": "team"}}},
			entity: `{"kind": "kubernetes_metadata", "id": "apps/deployments/shop/cart", "labels": {"team": "core"}}`,
			about:  "kubernetes_metadata://apps/deployments/shop/cart", low: []string{"team:core"}},

		{name: "local queue", options: queueOptions, entity: localQueue,
			about: "kubernetes_kueue_queue://localqueue/ml/team-a",
			low: []string{"kube_namespace:ml", "kueue_cluster_queue:shared",
				"kueue_local_queue:team-a", "local_tier:gold"}},
		{name: "cluster queue", options: queueOptions, entity: clusterQueue,
			about: "kubernetes_kueue_queue://clusterqueue//shared",
			low:   []string{"cluster_tier:silver", "kueue_cluster_queue:shared"}},
		{name: "local queue by its resource", options: ruled(t,
			`[{drop: kueue_local_queue, when: {resource: localqueues.kueue.x-k8s.io}},
			{drop: kube_namespace, when: {resource: clusterqueues.kueue.x-k8s.io}}]`),
			entity: localQueue, about: "kubernetes_kueue_queue://localqueue/ml/team-a",
			low: []string{"kube_namespace:ml", "kueue_cluster_queue:shared"}},
		{name: "flavor", entity: flavor, about: "kueue_resource_flavor://a100", low: flavorTags},
		{name: "workload alone", entity: workload, about: "kueue_workload://ml/train",
			low: []string{"kueue_local_queue:team-a", "kueue_resource_flavor:a100",
				"kueue_resource_flavor:plain"},
			orchestrator: []string{"kueue_workload:train", "kueue_workload_uid:w-1"}},
		{name: "workload with what it uses", options: queueOptions, entity: workload,
			known: []string{localQueue, clusterQueue, flavor}, about: "kueue_workload://ml/train",
			low: slices.Concat(flavorTags,
				[]string{"kueue_resource_flavor:plain", "kube_namespace:ml",
					"kueue_cluster_queue:shared", "kueue_local_queue:team-a", "local_tier:gold",
					"cluster_tier:silver"}),
			orchestrator: []string{"kueue_workload:train", "kueue_workload_uid:w-1"}},
		{name: "pod of one pod set of a workload",
			entity: `{"kind": "kubernetes_pod", "id": "p", "namespace": "ml", "labels": {"kueue.x-k8s.io/podset": "driver", "kueue.x-k8s.io/queue-name": "other"}, "annotations": {"kueue.x-k8s.io/workload": "train"}}`,
			known:  []string{workload, flavor}, about: "kubernetes_pod_uid://p",
			low: []string{"kube_namespace:ml", "kueue_local_queue:team-a",
				"kueue_resource_flavor:plain"},
			orchestrator: []string{"kueue_workload:train", "kueue_workload_uid:w-1"}},
		{name: "pod of a pod group",
			entity: `{"kind": "kubernetes_pod", "id": "p", "namespace": "ml", "labels": {"kueue.x-k8s.io/pod-group-name": "train"}}`,
			known:  []string{workload}, about: "kubernetes_pod_uid://p",
			low: []string{"kube_namespace:ml", "kueue_local_queue:team-a",
				"kueue_resource_flavor:a100", "kueue_resource_flavor:plain"},
			orchestrator: []string{"kueue_workload:train", "kueue_workload_uid:w-1"}},
		{name: "pod whose queues are known", options: queueOptions,
			entity: `{"kind": "kubernetes_pod", "id": "p", "namespace": "ml", "labels": {"kueue.x-k8s.io/local-queue-name": "team-a", "kueue.x-k8s.io/queue-name": "old"}, "annotations": {"kueue.x-k8s.io/workload": "unknown"}}`,
			known:  []string{localQueue, clusterQueue}, about: "kubernetes_pod_uid://p",
			low: []string{"kube_namespace:ml", "kueue_cluster_queue:shared",
				"kueue_local_queue:team-a", "local_tier:gold", "cluster_tier:silver"}},

		{name: "pod that names its cluster queue alone", options: queueOptions,
			entity: `{"kind": "kubernetes_pod", "id": "p", "namespace": "ml", "labels": {"kueue.x-k8s.io/cluster-queue-name": "shared"}}`,
			known:  []string{localQueue, clusterQueue}, about: "kubernetes_pod_uid://p",
			low: []string{"kube_namespace:ml", "kueue_cluster_queue:shared",
				"cluster_tier:silver"}},
		{name: "pod that disables other tags",
			entity: `{"kind": "kubernetes_pod", "id": "p", "kube_services": ["web"], "annotations": {"tags.datadoghq.com/disable": "other,kube_services"}}`,
			about:  "kubernetes_pod_uid://p", low: []string{"kube_service:web"}},
		{name: "pod that disables the tags of its services, too",
			entity: `{"kind": "kubernetes_pod", "id": "p", "kube_services": ["web"], "annotations": {"tags.datadoghq.com/disable": "other, kube_service"}}`,
			about:  "kubernetes_pod_uid://p"},

		{name: "service", options: extract.Options{KubernetesResourcesLabelsAsTags: map[string]map[string]string{"services": {"team": "team"}}},
			entity: `{"kind": "kubernetes_service", "id": "shop/cart", "name": "cart", "namespace": "shop", "labels": {"team": "core"}}`,
			about:  "kube_service://shop/cart", low: []string{"kube_namespace:shop",
				"kube_service:cart", "team:core"}},
		{name: "pod of services, under either UID, beside those it lists",
			entity: `{"kind": "kubernetes_pod", "id": "hash", "api_uid": "mirror", "kube_services": ["web", "old"]}`,
			known: []string{
				`{"kind": "kubernetes_service", "id": "shop/web", "pods": ["hash", "mirror"]}`,
				`{"kind": "kubernetes_service", "id": "shop/cart", "pods": ["hash"]}`,
				`{"kind": "kubernetes_service", "id": "shop/admin", "pods": ["a", "mirror", "z"]}`,
				`{"kind": "kubernetes_service", "id": "shop/other", "pods": ["a"]}`},
			about: "kubernetes_pod_uid://hash",
			low: []string{"kube_service:admin", "kube_service:cart", "kube_service:old",
				"kube_service:web"}},
		{name: "pod of what is autoscaled",
			entity: `{"kind": "kubernetes_pod", "id": "p", "autoscaler_kinds": ["hpa", "keda"]}`,
			about:  "kubernetes_pod_uid://p", low: []string{"kube_autoscaler_kind:hpa", "kube_autoscaler_kind:keda"}},
		{name: "pod of a service that wants no tags of it",
			entity: `{"kind": "kubernetes_pod", "id": "p", "annotations": {"tags.datadoghq.com/disable": "kube_service"}}`,
			known:  []string{`{"kind": "kubernetes_service", "id": "shop/web", "pods": ["p"]}`},
			about:  "kubernetes_pod_uid://p"},
		{name: "no pod wants tags of services", options: extract.Options{KubernetesADTagsDisabled: []string{"kube_service"}},
			entity: `{"kind": "kubernetes_pod", "id": "p"}`,
			known:  []string{`{"kind": "kubernetes_service", "id": "shop/web", "pods": ["p"]}`},
			about:  "kubernetes_pod_uid://p"},

		{name: "managed instance, one agent for all tasks",
			entity: `{"kind": "ecs_task", "id": "arn:t", "family": "cart", "cluster_name": "shop", "cluster_arn": "arn:c", "launch_type": "managed_instances"}`,
			about:  tagger.GlobalEntityID, low: []string{"cluster_arn:arn:c",
				"ecs_cluster_name:shop"}},
		{name: "managed instance, one agent per task", options: extract.Options{ECSSidecar: true},
			entity: `{"kind": "ecs_task", "id": "arn:t", "family": "cart", "cluster_name": "shop", "launch_type": "managed_instances", "availability_zone": "a"}`,
			about:  tagger.GlobalEntityID, low: []string{"cluster_name:shop",
				"ecs_cluster_name:shop", "task_family:cart", "task_name:cart"},
			orchestrator: []string{"task_arn:arn:t"}},

		{name: "annotation variables of a pod",
			entity: podWith("ad.datadoghq.com/tags",
				`"{\"ip\": \"%%host%%\", \"host\": \"%%hostname%%\", \"ns\": \"%%kube_namespace%%/%%kube_pod_name%%/%%kube_pod_uid%%\"}"`),
			about: "kubernetes_pod_uid://u1", low: slices.Concat(podTags,
				[]string{"host:cart-0", "ip:10.1.0.7", "ns:shop/cart-0/u1"}),
			orchestrator: []string{"pod_name:cart-0"}},
		{name: "annotation variables of a container",
			entity: podWith("ad.datadoghq.com/web.tags",
				`"{\"ip\": \"%%host%%\", \"back\": \"%%host_back%%\", \"port\": %%port%%, \"first\": \"%%port_0%%\", \"admin\": \"%%port_admin%%\", \"+pid\": \"%%pid%%\", \"host\": \"%%hostname%%\"}"`),
			known: []string{container}, about: "container_id://c1",
			low: slices.Concat(podTags,
				[]string{"admin:9000", "back:10.9.0.2", "first:80", "host:h1", "ip:172.17.0.2",
					"kube_container_name:web", "port:9000"}),
			orchestrator: []string{"pod_name:cart-0"}, high: []string{"container_id:c1",
				"display_container_name:web_cart-0", "pid:42"}},
		{name: "the only address of a container",
			entity: podWith("ad.datadoghq.com/web.tags",
				`"{\"ip\": \"%%host%%\"}"`),
			known: []string{
				`{"kind": "container", "id": "c1", "network_ips": {"back": "10.9.0.2"}}`},
			about: "container_id://c1", low: slices.Concat(podTags,
				[]string{"ip:10.9.0.2", "kube_container_name:web"}),
			orchestrator: []string{"pod_name:cart-0"}, high: []string{"container_id:c1",
				"display_container_name:web_cart-0"}},
		{name: "of several addresses none is the container's",
			entity: podWith("ad.datadoghq.com/web.tags",
				`"{\"ip\": \"%%host%%\"}"`),
			known: []string{
				`{"kind": "container", "id": "c1", "network_ips": {"back": "10.9.0.2", "front": "10.8.0.2"}}`},
			about: "container_id://c1", low: slices.Concat(podTags,
				[]string{"ip:10.1.0.7", "kube_container_name:web"}),
			orchestrator: []string{"pod_name:cart-0"}, high: []string{"container_id:c1",
				"display_container_name:web_cart-0"}},
		{name: "a port that there is not",
			entity: podWith("ad.datadoghq.com/web.tags", `"{\"third\": \"%%port_2%%\"}"`),
			known:  []string{container}, about: "container_id://c1",
			low: slices.Concat(podTags,
				[]string{"third:%%port_2%%", "kube_container_name:web"}),
			orchestrator: []string{"pod_name:cart-0"}, high: []string{"container_id:c1",
				"display_container_name:web_cart-0"}},
		{name: "annotation variable from the environment, with what JSON must escape",
			options: extract.Options{LookupEnv: func(name string) (string, bool) {
				return `a"b\`, name == "SITE"
			}},
			entity: podWith("ad.datadoghq.com/tags", `"{\"site\": \"%%env_SITE%%\"}"`),
			about:  "kubernetes_pod_uid://u1", low: slices.Concat(podTags, []string{`site:a"b\`}),
			orchestrator: []string{"pod_name:cart-0"}},
		{name: "annotation with a variable that has no value stays as it is",
			entity: podWith("ad.datadoghq.com/tags",
				`"{\"ip\": \"%%host%%\", \"pid\": \"%%pid%%\"}"`),
			about: "kubernetes_pod_uid://u1", low: slices.Concat(podTags,
				[]string{"ip:%%host%%", "pid:%%pid%%"}), orchestrator: []string{"pod_name:cart-0"}},
		{name: "annotation numbers as written",
			entity: podWith("ad.datadoghq.com/tags",
				`"{\"a\": 1e3, \"b\": [1.50, false], \"+c\": 12345678901234567890}"`),
			about: "kubernetes_pod_uid://u1", low: slices.Concat(podTags,
				[]string{"a:1e3", "b:1.50", "b:false"}), orchestrator: []string{
				"pod_name:cart-0"}, high: []string{"c:12345678901234567890"}},

		{name: "garden container without collector tags", entity: `{"kind": "container", "id": "g", "name": "x", "runtime": "garden"}`, about: "container_id://g"},
		{name: "a split value has no empty pieces", options: extract.Options{TagValueSplitSeparator: map[string]string{"service": ","}},
			entity: `{"kind": "container", "id": "c", "env": {"DD_SERVICE": "a,, b, "}}`,
			about:  "container_id://c",
			low: []string{"service:a",
				"service:b"}, high: []string{"container_id:c"}},
		{name: "an empty image, a docker container", entity: `{"kind": "container", "id": "c", "runtime": "docker"}`, about: "container_id://c", high: []string{"container_id:c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var known entities
			for _, text := range c.known {
				known = append(known, entity(t, text))
			}
			for _, info := range saidBy(newExtractor(t, c.options), entity(t, c.entity), known) {
				if info.Entity != c.about {
					continue
				}
				for level, lists := range map[string][2][]string{
					"low": {info.LowCardTags, c.low}, "orchestrator": {info.OrchestratorCardTags,
						c.orchestrator}, "high": {info.HighCardTags, c.high},
				} {
					if want := slices.Sorted(slices.Values(lists[1])); !slices.Equal(
						slices.Sorted(slices.Values(lists[0])), want) {
						t.Errorf("%s:\n got %q\nwant %q", level, lists[0], want)
					}
				}
				return
			}
			t.Errorf("no info about %s", c.about)
		})
	}
}

// A container carries each value of each tag of its GPUs, whatever it calls them.
func TestGPUsOfAContainer(t *testing.T) {
	machine := []string{
		`{"kind": "gpu", "id": "GPU-A", "vendor": "nvidia", "gpu_type": "t4"}`,
		`{"kind": "gpu", "id": "GPU-B", "vendor": "NVIDIA", "index": 1, "device_type": "physical",
			"gpu_type": "h100", "children_gpu_uuids": ["MIG-0", "MIG-1"]}`,
		`{"kind": "gpu", "id": "MIG-0", "vendor": "nvidia", "device_type": "mig",
			"parent_gpu_uuid": "GPU-B", "gpu_type": "h100"}`,
		`{"kind": "gpu", "id": "MIG-1", "vendor": "nvidia", "device_type": "mig",
			"parent_gpu_uuid": "GPU-B", "gpu_type": "h100"}`,
		`{"kind": "gpu", "id": "other", "vendor": "amd", "gpu_type": "mi300"}`,
	}
	for ids, want := range map[string]string{
		`[]`:                 "",
		`["GPU-A"]`:          "gpu_parent_uuid:gpu-a gpu_slicing_mode:none gpu_type:t4 gpu_uuid:gpu-a gpu_vendor:nvidia",
		`["0"]`:              "gpu_parent_uuid:gpu-a gpu_slicing_mode:none gpu_type:t4 gpu_uuid:gpu-a gpu_vendor:nvidia",
		`["1:1"]`:            "gpu_parent_uuid:gpu-b gpu_slicing_mode:mig gpu_type:h100 gpu_uuid:mig-1 gpu_vendor:nvidia",
		`["GPU-A", "MIG-0"]`: "gpu_parent_uuid:gpu-a gpu_parent_uuid:gpu-b gpu_slicing_mode:mig gpu_slicing_mode:none gpu_type:h100 gpu_type:t4 gpu_uuid:gpu-a gpu_uuid:mig-0 gpu_vendor:nvidia",
		`["all"]`: "gpu_parent_uuid:gpu-a gpu_parent_uuid:gpu-b gpu_slicing_mode:mig gpu_slicing_mode:none gpu_type:h100 gpu_type:t4 " +
			"gpu_uuid:gpu-a gpu_uuid:mig-0 gpu_uuid:mig-1 gpu_vendor:nvidia",
		`["other"]`: "gpu_parent_uuid:other gpu_slicing_mode:none gpu_type:mi300 gpu_uuid:other gpu_vendor:amd",
		`["GPU-unknown", "7", "0:0", "1:9", "1:", ":1", "1:99999999999999999999"]`: "",
	} {
		var known entities
		for _, text := range machine {
			known = append(known, entity(t, text))
		}
		c := entity(t, `{"kind": "container", "id": "c", "gpu_device_ids": `+ids+`}`)
		infos := newExtractor(t, extract.Options{}).Extract(c, known)
		if len(infos) != 1 {
			t.Fatalf("%d infos", len(infos))
		}
		if got := strings.Join(infos[0].LowCardTags, " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", ids, got, want)
		}
	}
}

// Rules look at the container on whose behalf its GPUs are read.
func TestRulesAboutAContainersGPUs(t *testing.T) {
	x := newExtractor(t, ruled(t, `[{drop: gpu_uuid, when: {label.team: blue}}]`))
	g := entity(t, `{"kind": "gpu", "id": "GPU-A", "vendor": "nvidia"}`)
	for team, want := range map[string]bool{"blue": false, "red": true} {
		c := entity(t, `{"kind": "container", "id": "c", "labels": {"team": "`+team+`"},
			"gpu_device_ids": ["GPU-A"]}`)
		tags := x.Extract(c, entities{g})[0].LowCardTags
		if got := slices.Contains(tags, "gpu_uuid:gpu-a"); got != want {
			t.Errorf("%s: %v", team, tags)
		}
	}
}
