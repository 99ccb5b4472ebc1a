package cri

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimetest"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func defaults(t testing.TB) *Options {
	t.Helper()
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return &o
}

func TestCgroupFromProc(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	f.status[id].Info["info"] = `{"pid":42}`
	root, inode := runtimetest.Machine(t, 42, "/kubepods/"+id)
	c := newCollector(t, f.socket(t), func(o *Options) { o.ProcRoot = root })
	k := c.pull().containers[id]
	if k.PID != 42 || k.CgroupPath != "/kubepods/"+id || k.CgroupInode != inode {
		t.Errorf("%+v", k)
	}
	f.remove(id)
	if k := c.pull().gone[id]; k == nil || k.PID != 0 || k.CgroupInode != 0 {
		t.Errorf("gone as %+v", k)
	}
}

func TestPorts(t *testing.T) {
	for in, want := range map[string][]workloadmeta.ContainerPort{
		"":  nil,
		"x": nil,
		`[{"name":"http","containerPort":8080,"protocol":"TCP"}]`: {
			{Name: "http", Port: 8080, Protocol: "tcp"}},
		`[{"hostPort":70000,"containerPort":53,"protocol":"UDP"}]`:  {{Port: 53, Protocol: "udp"}},
		`[{"containerPort":0},{"containerPort":70000},{"a":1}]`:     {},
		`[{"containerPort":"80"},{"containerPort":81}]`:             {{Port: 81}},
		`[{"containerPort":80,"hostPort":-1},{"containerPort":80}]`: {{Port: 80}},
	} {
		if got := mapping.KubernetesPorts(in); len(got) != len(want) || len(got) > 0 &&
			!reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

func TestSecurity(t *testing.T) {
	type profile = workloadmeta.SeccompProfile
	for _, tc := range []struct {
		name, info string
		want       *workloadmeta.ContainerSecurityContext
	}{
		{"nothing known", `{"pid":1}`, nil},
		{"containerd, default", `{"config":{"linux":{"security_context":{"seccomp":{}}}}}`,
			&workloadmeta.ContainerSecurityContext{
				SeccompProfile: &profile{Type: "RuntimeDefault"}}},
		{"containerd, unconfined",
			`{"config":{"linux":{"security_context":{"seccomp":{"profile_type":1}}}}}`,
			&workloadmeta.ContainerSecurityContext{SeccompProfile: &profile{Type: "Unconfined"}}},
		{"containerd, a file",
			`{"config":{"linux":{"security_context":{"seccomp":{"profile_type":2,"localhost_ref":"p.json"}}}}}`,
			&workloadmeta.ContainerSecurityContext{
				SeccompProfile: &profile{Type: "Localhost", LocalhostProfile: "p.json"}}},
		{"names of profiles",
			`{"config":{"linux":{"security_context":{"seccomp":{"profile_type":"Localhost","localhost_ref":"p"}}}}}`,
			&workloadmeta.ContainerSecurityContext{
				SeccompProfile: &profile{Type: "Localhost", LocalhostProfile: "p"}}},
		{"a profile of tomorrow", `{"config":{"linux":{"security_context":{"seccomp":{"profile_type":9}}}}}`, &workloadmeta.ContainerSecurityContext{}},
		{"none asked for, none set",
			`{"config":{"linux":{"security_context":{}}},"runtimeSpec":{"linux":{}}}`,
			&workloadmeta.ContainerSecurityContext{SeccompProfile: &profile{Type: "Unconfined"}}},
		{"none asked for, one set", `{"config":{"linux":{"security_context":{}}},"runtimeSpec":{"linux":{"seccomp":{}}}}`, &workloadmeta.ContainerSecurityContext{}},
		{"privileged", `{"config":{"linux":{"security_context":{"privileged":true,"seccomp":{}}}}}`,
			&workloadmeta.ContainerSecurityContext{Privileged: true,
				SeccompProfile: &profile{Type: "Unconfined"}}},
		{"CRI-O privileged", `{"privileged":true,"runtimeSpec":{"linux":{}}}`,
			&workloadmeta.ContainerSecurityContext{Privileged: true,
				SeccompProfile: &profile{Type: "Unconfined"}}},
		{"capabilities",
			`{"config":{"linux":{"security_context":{"seccomp":{},"capabilities":{"add_capabilities":["SYS_TIME","CAP_net_admin"],"drop_capabilities":["ALL"]}}}}}`,
			&workloadmeta.ContainerSecurityContext{
				Capabilities: &workloadmeta.Capabilities{Add: []string{"NET_ADMIN", "SYS_TIME"},
					Drop: []string{"ALL"}},
				SeccompProfile: &profile{Type: "RuntimeDefault"},
			}},
	} {
		d, err := decodeContainer(map[string]string{"info": tc.info}, defaults(t))
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(tc.want, d.security); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestResources(t *testing.T) {
	number := func(f float64) *float64 { return &f }
	bytes := func(n uint64) *uint64 { return &n }
	linux := func(l *runtimeapi.LinuxContainerResources) *runtimeapi.ContainerResources {
		return &runtimeapi.ContainerResources{Linux: l}
	}
	for _, tc := range []struct {
		name, info string
		status     *runtimeapi.ContainerResources
		want       workloadmeta.ContainerResources
	}{
		{"nothing", `{}`, nil, workloadmeta.ContainerResources{}},
		{"status", `{}`,
			linux(&runtimeapi.LinuxContainerResources{CpuPeriod: 50_000, CpuQuota: 75_000,
				CpuShares: 256, MemoryLimitInBytes: 1 << 20}),
			workloadmeta.ContainerResources{CPULimit: number(150), CPURequest: number(25),
				MemoryLimit: bytes(1 << 20)}},
		{"no limits", `{}`, linux(&runtimeapi.LinuxContainerResources{CpuPeriod: 100_000, CpuQuota: -1, CpuShares: 2, MemoryLimitInBytes: 0x7ffffffffffff000}), workloadmeta.ContainerResources{}},
		{"configuration",
			`{"config":{"linux":{"resources":{"cpu_period":100000,"cpu_quota":50000,"cpu_shares":1024,"memory_limit_in_bytes":5}}}}`, nil,
			workloadmeta.ContainerResources{CPULimit: number(50), CPURequest: number(100),
				MemoryLimit: bytes(5)}},
		{"specification",
			`{"runtimeSpec":{"linux":{"resources":{"cpu":{"shares":512,"cpus":"0-2"},"memory":{"limit":7,"reservation":3}}}}}`, nil,
			workloadmeta.ContainerResources{CPULimit: number(300), CPURequest: number(50),
				MemoryLimit: bytes(7), MemoryRequest: bytes(3)}},
		{"status before specification",
			`{"runtimeSpec":{"linux":{"resources":{"memory":{"limit":7,"reservation":3}}}}}`,
			linux(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 9}),
			workloadmeta.ContainerResources{MemoryLimit: bytes(9), MemoryRequest: bytes(3)}},
	} {
		d, err := decodeContainer(map[string]string{"info": tc.info}, defaults(t))
		if err != nil {
			t.Fatal(err)
		}
		s := readStatus(&runtimeapi.ContainerStatus{Resources: tc.status})
		k := container{detail: &d, status: &s}
		if diff := cmp.Diff(tc.want, k.resources()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// Zero times are unknown, not 1970, and a container that runs has no exit code.
func TestTimesAndExitCodes(t *testing.T) {
	for _, tc := range []struct {
		in   *runtimeapi.ContainerStatus
		code int64 // -1 = nil
	}{
		{&runtimeapi.ContainerStatus{State: running}, -1},
		{&runtimeapi.ContainerStatus{State: running, ExitCode: 3, FinishedAt: 5}, -1},
		{&runtimeapi.ContainerStatus{State: unknown, ExitCode: 255, FinishedAt: 5}, -1},
		{&runtimeapi.ContainerStatus{State: exited}, 0},
		{&runtimeapi.ContainerStatus{State: exited, ExitCode: 137}, 137},
		{&runtimeapi.ContainerStatus{State: exited, ExitCode: 255, Reason: "Unknown"}, -1},
		{&runtimeapi.ContainerStatus{State: exited, ExitCode: 255, Reason: "Error"}, 255},
		{&runtimeapi.ContainerStatus{State: exited, ExitCode: -1, FinishedAt: -6795364578871345152}, -1},
	} {
		s := readStatus(tc.in)
		if !s.finished.IsZero() || !s.started.IsZero() || !s.created.IsZero() {
			t.Errorf("%v: times %v", tc.in, s)
		}
		if tc.code < 0 && s.exitCode != nil || tc.code >= 0 &&
			(s.exitCode == nil || *s.exitCode != tc.code) {
			t.Errorf("%v: exit code %v", tc.in, s.exitCode)
		}
	}
}

// Issue 39: with the machine's network the machine's address is not the container's.
func TestBug39AddressesOfTheMachine(t *testing.T) {
	answer := func(mode runtimeapi.NamespaceMode,
		ips ...string) *runtimeapi.PodSandboxStatusResponse {
		n := &runtimeapi.PodSandboxNetworkStatus{Ip: ips[0]}
		for _, ip := range ips[1:] {
			n.AdditionalIps = append(n.AdditionalIps, &runtimeapi.PodIP{Ip: ip})
		}
		return &runtimeapi.PodSandboxStatusResponse{
			Status: &runtimeapi.PodSandboxStatus{Network: n,
				Linux: &runtimeapi.LinuxPodSandboxStatus{
					Namespaces: &runtimeapi.Namespace{
						Options: &runtimeapi.NamespaceOption{Network: mode}},
				}}}
	}
	for _, tc := range []struct {
		in     *runtimeapi.PodSandboxStatusResponse
		v4, v6 string
	}{
		{answer(runtimeapi.NamespaceMode_NODE, "192.0.2.1", "fd00::1"), "", ""},
		{answer(runtimeapi.NamespaceMode_POD, "10.0.0.1", "fd00::1", "10.0.0.2"), "10.0.0.1", "fd00::1"},
		{answer(runtimeapi.NamespaceMode_POD, "fd00::1", "10.0.0.1"), "10.0.0.1", "fd00::1"},
		{answer(runtimeapi.NamespaceMode_POD, "::ffff:10.0.0.1"), "10.0.0.1", ""},
		{answer(runtimeapi.NamespaceMode_POD, "", "nonsense"), "", ""},
		{&runtimeapi.PodSandboxStatusResponse{}, "", ""},
	} {
		got := readSandboxStatus(tc.in)
		if got.ips["pod"] != tc.v4 || got.ipv6s["pod"] != tc.v6 {
			t.Errorf("%v: %v %v", tc.in, got.ips, got.ipv6s)
		}
	}
	// A sandbox that has ended has given its addresses back.
	f := newFake()
	id := f.add(0, running)
	c := newCollector(t, f.socket(t), nil)
	if k := c.pull().containers[id]; k.NetworkIPs["pod"] == "" {
		t.Errorf("%+v", k)
	}
	f.with(func() {
		f.sandboxes[0] = &runtimeapi.PodSandbox{Id: f.sandboxes[0].Id,
			State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY}
	})
	if k := c.pull().containers[id]; k.NetworkIPs != nil {
		t.Errorf("%+v", k)
	}
}

func TestFlavor(t *testing.T) {
	for _, tc := range []struct {
		handler, runtimeType string
		want                 workloadmeta.ContainerRuntimeFlavor
	}{
		{"", "io.containerd.runc.v2", workloadmeta.FlavorDefault},
		{"kata-qemu", "", workloadmeta.FlavorKata},
		{"sandboxed", "io.containerd.kata.v2", workloadmeta.FlavorKata},
		{"gvisor", "io.containerd.runsc.v1", workloadmeta.FlavorGVisor},
	} {
		k := container{detail: &detail{runtimeType: tc.runtimeType}}
		if got := k.build("x", &sandbox{handler: tc.handler},
			"/proc").RuntimeFlavor; got != tc.want {
			t.Errorf("%v: %q", tc, got)
		}
	}
}

// A pod without the kubelet's labels, as crictl makes it, has an owner as well.
func TestOwnerFromTheSandbox(t *testing.T) {
	k := container{}
	e := k.build("x", &sandbox{uid: "u-1", namespace: "ns"}, "/proc")
	if e.Owner == nil || e.Owner.ID != "u-1" || e.Owner.Kind != workloadmeta.KindKubernetesPod ||
		e.Namespace != "ns" {
		t.Errorf("%+v", e)
	}
}

func TestBigAndBrokenInfo(t *testing.T) {
	for _, text := range []string{`{"pid":`, `nonsense`, `"x" "y"`,
		strings.Repeat(" ", maxInfo+1)} {
		d, err := decodeContainer(map[string]string{"info": text}, defaults(t))
		if err == nil || d.pid != 0 || len(err.Error()) > 100 {
			t.Errorf("%.20q: %+v, %v", text, d, err)
		}
	}
	d, err := decodeContainer(
		map[string]string{
			"info": `{"pid":"x","runtimeSpec":{"hostname":"h","process":{"env":"none"}}}`},
		defaults(t))
	if err != nil || d.hostname != "h" || d.pid != 0 {
		t.Errorf("fields of another type: %+v, %v", d, err)
	}
}

func FuzzContainerInfo(f *testing.F) {
	for _, folder := range recordings {
		for _, s := range loadFake(f, filepath.Join("testdata", folder)).status {
			f.Add(s.Info["info"])
		}
	}
	f.Add(
		`{"pid":-1,"privileged":null,"config":null,"runtimeSpec":{"linux":{"cgroupsPath":"a-b.slice:c:d"}}}`)
	o := defaults(f)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := decodeContainer(map[string]string{"info": text}, o)
		if err != nil && !reflect.DeepEqual(d, detail{}) {
			t.Errorf("an error and %+v", d)
		}
		if d.pid < 0 || d.cgroup != "" && !strings.HasPrefix(d.cgroup, "/") ||
			strings.Contains(d.cgroup, "/../") {
			t.Errorf("%+v", d)
		}
		for name := range d.env {
			if !o.Env.Allowed(name) {
				t.Errorf("variable %q is kept", name)
			}
		}
		r := (&container{detail: &d}).resources()
		if r.CPULimit != nil && *r.CPULimit <= 0 || r.CPURequest != nil && *r.CPURequest <= 0 ||
			r.MemoryLimit != nil && *r.MemoryLimit == 0 {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzImageInfo(f *testing.F) {
	for _, folder := range recordings {
		for _, s := range loadFake(f, filepath.Join("testdata", folder)).imageStatuses {
			f.Add(s.Info["info"])
		}
	}
	f.Add(
		`{"labels":null,"imageSpec":{"history":[{"created":5,"empty_layer":"x"}],"rootfs":{"diff_ids":[null]}}}`)
	o := defaults(f)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := decodeImage(map[string]string{"info": text}, o)
		if err != nil && !reflect.DeepEqual(d, imageDetail{}) {
			t.Errorf("an error and %+v", d)
		}
		for _, l := range d.layers {
			if l.Digest != "" && l.History != nil && l.History.EmptyLayer {
				t.Errorf("an empty layer has a digest: %+v", l)
			}
		}
		if _, err := json.Marshal(d.layers); err != nil && utf8.ValidString(text) {
			t.Error(err)
		}
	})
}

func FuzzPorts(f *testing.F) {
	f.Add(
		`[{"name":"http","containerPort":8080,"protocol":"TCP"},{"name":"dns","hostPort":5353,"containerPort":53,"protocol":"UDP"}]`)
	f.Add(`[{"containerPort":1e99},null,[]]`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range mapping.KubernetesPorts(text) {
			if p.Port < 1 || p.Port > 65535 || p.Protocol != strings.ToLower(p.Protocol) {
				t.Errorf("%+v", p)
			}
		}
	})
}

func FuzzSandboxInfo(f *testing.F) {
	for _, folder := range recordings {
		for _, s := range loadFake(f, filepath.Join("testdata", folder)).sandboxStatuses {
			f.Add(s.Info["info"], s.GetStatus().GetNetwork().GetIp())
		}
	}
	f.Fuzz(func(t *testing.T, text, ip string) {
		got := readSandboxStatus(&runtimeapi.PodSandboxStatusResponse{
			Info: map[string]string{"info": text},
			Status: &runtimeapi.PodSandboxStatus{
				Network: &runtimeapi.PodSandboxNetworkStatus{Ip: ip}},
		})
		if got.ips["pod"] != "" && got.ipv6s["pod"] != "" || strings.Contains(got.ips["pod"], ":") {
			t.Errorf("%+v of %q", got, ip)
		}
		if got.hostname != "" && utf8.ValidString(text) && !utf8.ValidString(got.hostname) {
			t.Errorf("host name %q", got.hostname)
		}
	})
}

func TestDevices(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	f.status[id].Info["info"] = `{"config":{"CDI_devices":[{"name":"nvidia.com/gpu=GPU-0a1b"}]},
		"runtimeSpec":{"process":{"env":["NVIDIA_VISIBLE_DEVICES=all"]}}}`
	f.change(id, func(k *runtimeapi.Container) {
		k.Annotations["cdi.k8s.io/nic"] = "example.org/nic=a"
	}, nil)
	other := f.add(1, running)
	f.status[other].Info["info"] = `{"runtimeSpec":{"process":{"env":["NVIDIA_VISIBLE_DEVICES=1"]}}}`
	a := newCollector(t, f.socket(t), nil).pull()
	if k := a.containers[id]; !reflect.DeepEqual(k.GPUDeviceIDs, []string{"GPU-0a1b"}) ||
		len(k.AllocatedResources) != 2 {
		t.Errorf("%+v", k)
	}
	if k := a.containers[other]; !reflect.DeepEqual(k.GPUDeviceIDs, []string{"1"}) {
		t.Errorf("%+v", k)
	}
}
