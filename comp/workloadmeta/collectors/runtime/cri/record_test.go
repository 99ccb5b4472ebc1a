package cri

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/realnode"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestRecord records what a real containerd answers. Run it with
//
//	ROLLCALL_REALNODE=1 go test ./comp/workloadmeta/collectors/runtime/cri -run TestRecord -record
//
// then TestRecorded with -update, and look at the differences. The folder's name has the version of
// the installed containerd, or of that in the folder which ROLLCALL_REALNODE_PROGRAMS names.
func TestRecord(t *testing.T) {
	collectortest.OnlyToRecord(t)
	realnode.Require(t)
	c := realnode.StartContainerd(t)
	kubelet := c.CRI(t)
	kubelet.UseNetwork()
	r := collectortest.NewRecorder(t,
		"testdata/containerd-"+strings.Join(strings.Split(c.Version, ".")[:2], ".")+"-cri",
		c.Root, "/var/lib/containerd", `\"`+collectortest.Hostname(t)+`\"`, `\"node-1\"`)
	save := func(name string, m proto.Message) {
		t.Helper()
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		r.Save(name, text)
	}

	c.For(t).ImportImage("k8s.io", "example.test/plain:1", "sleep", "1000000")
	image := map[string]any{
		"config": map[string]any{
			"Cmd": []string{"sleep", "1000000"}, "Env": []string{"PATH=/bin", "DD_VERSION=2",
				"IMAGE_TOKEN=hunter4"},
			"Labels": map[string]string{"team": "blue",
				"org.opencontainers.image.revision": "0a1b2c"},
		},
		"created": "2026-11-02T08:00:00Z", "author": "somebody",
		"history": []map[string]any{
			{"created": "2026-11-01T08:00:00Z", "created_by": "ADD rootfs.tar /"},
			{"created": "2026-11-02T08:00:00Z", "created_by": "ENV DD_VERSION=2 IMAGE_TOKEN=hunter4", "empty_layer": true, "comment": "a note"},
		},
	}
	if strings.HasPrefix(c.Version, "1.") {
		image["variant"] = "v8" // since version 2 that is another platform than this one
	}
	kubelet.ImportImage("reg.example.test:5000/shop/web:2", image)
	// A pulled image has a digest in its repository.
	target := ""
	for line := range strings.Lines(c.For(t).Ctr("k8s.io", "images", "ls")) {
		if fields := strings.Fields(line); fields[0] == "reg.example.test:5000/shop/web:2" {
			target = fields[2]
		}
	}
	c.For(t).Ctr("k8s.io", "images", "tag", "reg.example.test:5000/shop/web:2",
		"reg.example.test:5000/shop/web@"+target)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	web := "" // the ID, by which the kubelet names images
	for {     // the CRI plugin learns of the names from events
		images, err := kubelet.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		ready := 0
		for _, i := range images.Images {
			if len(i.RepoDigests) > 0 {
				web = i.Id
				ready++
			}
			if len(i.RepoTags) > 0 && strings.Contains(i.RepoTags[0], "plain") {
				ready++
			}
		}
		if ready == 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}

	names := map[string]string{} // of containers, by ID
	run := func(pod *realnode.Pod, name, image string, start bool,
		change func(*runtimeapi.ContainerConfig), command ...string) string {
		t.Helper()
		id := pod.Create(name, image, change, command...)
		if start {
			kubelet.Start(id)
		}
		names[id] = name
		return id
	}
	shop := kubelet.RunPod("shop-7d4b9c6f5-x2x4z", func(p *runtimeapi.PodSandboxConfig) {
		p.Metadata.Namespace, p.Metadata.Uid = "shop", "3f9c0a52-7d1e-4b0a-9f43-0d4b7a0c1e11"
		p.Labels[podNamespace], p.Labels[podUID], p.Labels["app"] = p.Metadata.Namespace,
			p.Metadata.Uid, "shop"
		p.Annotations = map[string]string{
			"kubectl.kubernetes.io/last-applied-configuration": `{"env":[{"name":"PASSWORD","value":"hunter3"}]}`, "team": "blue",
		}
		p.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_POD
		p.Linux.SecurityContext.Privileged = true // because one of its containers is
	})
	run(shop, "web", web, true, func(k *runtimeapi.ContainerConfig) {
		k.Envs = []*runtimeapi.KeyValue{{Key: "DD_SERVICE", Value: []byte("web")},
			{Key: "DB_PASSWORD", Value: []byte("hunter2")}}
		k.Annotations["io.kubernetes.container.ports"] = `[{"name":"http","containerPort":8080,"protocol":"TCP"},{"name":"dns","hostPort":5353,"containerPort":53,"protocol":"UDP"}]`
		k.Annotations["kubectl.kubernetes.io/last-applied-configuration"] = "hunter3"
		k.Annotations["example.test/ports"] = `[{"containerPort":1}]`
		k.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuPeriod: 100_000,
			CpuQuota: 50_000, CpuShares: 256, MemoryLimitInBytes: 64 << 20}
		s := k.Linux.SecurityContext
		s.Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"NET_ADMIN"},
			DropCapabilities: []string{"ALL"}}
		s.Seccomp, s.ReadonlyRootfs, s.NoNewPrivs = &runtimeapi.SecurityProfile{}, true, true
	})
	run(shop, "sidecar", "example.test/plain:1", true, func(k *runtimeapi.ContainerConfig) {
		k.Metadata.Attempt, k.Annotations["io.kubernetes.container.restartCount"] = 2, "2"
		k.Linux.SecurityContext.Privileged = true
		k.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuPeriod: 100_000, CpuShares: 2}
	})
	run(shop, "created", "example.test/plain:1", false, nil)
	done := run(shop, "init", "example.test/plain:1", true, nil, "true")
	failed := run(shop, "failed", "example.test/plain:1", true, nil, "sh", "-c", "exit 3")
	killed := run(shop, "killed", "example.test/plain:1", true, nil, "sleep", "1000")
	kubelet.Kill(killed)
	var oom string
	if realnode.OOM() == nil {
		oom = run(shop, "oom", "example.test/plain:1", true, func(k *runtimeapi.ContainerConfig) {
			k.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 16 << 20}
		}, "sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done")
	}
	static := kubelet.RunPod("agent-node-1", func(p *runtimeapi.PodSandboxConfig) {
		p.Metadata.Namespace, p.Metadata.Uid = "kube-system", "2067059eae15d4c2b1f0e8a97c6d5b43"
		p.Labels[podNamespace], p.Labels[podUID] = p.Metadata.Namespace, p.Metadata.Uid
	})
	run(static, "agent", web, true, func(k *runtimeapi.ContainerConfig) {
		k.Linux.SecurityContext.Seccomp = &runtimeapi.SecurityProfile{
			ProfileType: runtimeapi.SecurityProfile_Unconfined}
	})
	gone := kubelet.RunPod("gone", nil)
	run(gone, "batch", "example.test/plain:1", true, nil, "sleep", "1000")
	gone.Stop()
	for _, id := range []string{done, failed, killed, oom} {
		if id != "" {
			kubelet.AwaitExit(id)
		}
	}

	version, err := kubelet.Runtime.Version(ctx, &runtimeapi.VersionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	save("version.json", version)
	containers, err := kubelet.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	save("containers.json", containers)
	for _, k := range containers.Containers {
		status, err := kubelet.Runtime.ContainerStatus(ctx,
			&runtimeapi.ContainerStatusRequest{ContainerId: k.Id, Verbose: true})
		if err != nil {
			t.Fatal(err)
		}
		save("container-status/"+names[k.Id]+".json", status)
	}
	sandboxes, err := kubelet.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		t.Fatal(err)
	}
	save("sandboxes.json", sandboxes)
	for _, s := range sandboxes.Items {
		status, err := kubelet.Runtime.PodSandboxStatus(ctx,
			&runtimeapi.PodSandboxStatusRequest{PodSandboxId: s.Id, Verbose: true})
		if err != nil {
			t.Fatal(err)
		}
		save("sandbox-status/"+s.Metadata.Name+".json", status)
	}
	images, err := kubelet.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	save("images.json", images)
	for _, i := range images.Images {
		status, err := kubelet.Images.ImageStatus(ctx,
			&runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: i.Id},
				Verbose: true})
		if err != nil {
			t.Fatal(err)
		}
		name := strings.NewReplacer("/", "-", ":", "-").Replace(i.RepoTags[0])
		save("image-status/"+name+".json", status)
	}
}

const (
	podNamespace = "io.kubernetes.pod.namespace"
	podUID       = "io.kubernetes.pod.uid"
)
