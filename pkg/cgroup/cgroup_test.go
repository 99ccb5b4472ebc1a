package cgroup_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/cgroup"
)

const (
	idA     = "3f0c95a1d2b84e67f0192837465acbde3f0c95a1d2b84e67f0192837465acbde"
	idB     = "b00b5e11aa22cc33dd44ee55ff66778899aabbccddeeff00112233445566778f"
	task    = "0123456789abcdef0123456789abcdef"
	fargate = task + "-2531612879"
	garden  = "6f3a1b2c-0d4e-4f50-6172-8394"
	uid     = "22fbbcfa-bbe1-4584-b620-cf92b2991773"
	uidUnd  = "22fbbcfa_bbe1_4584_b620_cf92b2991773"
	static  = "2067059eae154f0fb3a1c2d3e4f50617"
)

// TestFind has every form of path that a runtime and its set-up are known to
// produce.
func TestFind(t *testing.T) {
	tests := []struct {
		name string
		path string
		want cgroup.Match // zero: no container
	}{
		{"docker cgroupfs", "/docker/" + idA, cgroup.Match{ID: idA, Runtime: "docker"}},
		{"docker cgroup parent", "/custom/parent/" + idA, cgroup.Match{ID: idA}},
		{"docker systemd", "/system.slice/docker-" + idA + ".scope", cgroup.Match{ID: idA, Runtime: "docker"}},
		{"docker systemd parent", "/mine.slice/docker-" + idA + ".scope", cgroup.Match{ID: idA, Runtime: "docker"}},
		{"docker rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + idA + ".scope", cgroup.Match{ID: idA, Runtime: "docker"}},
		{"dockershim cgroupfs", "/kubepods/besteffort/pod" + uid + "/" + idA, cgroup.Match{ID: idA, PodUID: uid}},
		{
			"dockershim systemd",
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidUnd +
				".slice/docker-" + idA + ".scope",
			cgroup.Match{ID: idA, Runtime: "docker", PodUID: uid},
		},
		{"cri containerd cgroupfs burstable", "/kubepods/burstable/pod" + uid + "/" + idA, cgroup.Match{ID: idA, PodUID: uid}},
		{"cri containerd cgroupfs guaranteed", "/kubepods/pod" + uid + "/" + idA, cgroup.Match{ID: idA, PodUID: uid}},
		{"cri containerd cgroupfs static pod", "/kubepods/pod" + static + "/" + idA, cgroup.Match{ID: idA, PodUID: static}},
		{"cri containerd without qos", "/k8s.io/" + idA, cgroup.Match{ID: idA, Runtime: "containerd"}},
		{
			"cri containerd systemd",
			"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidUnd +
				".slice/cri-containerd-" + idA + ".scope",
			cgroup.Match{ID: idA, Runtime: "containerd", PodUID: uid},
		},
		{
			"cri containerd systemd guaranteed",
			"/kubepods.slice/kubepods-pod" + uidUnd + ".slice/cri-containerd-" + idA + ".scope",
			cgroup.Match{ID: idA, Runtime: "containerd", PodUID: uid},
		},
		{
			"cri containerd driver mismatch",
			"/system.slice/containerd.service/kubepods-burstable-pod" + uidUnd +
				".slice:cri-containerd:" + idA,
			cgroup.Match{ID: idA, Runtime: "containerd", PodUID: uid},
		},
		{"ctr", "/default/" + idA, cgroup.Match{ID: idA}},
		{"nerdctl systemd", "/user.slice/nerdctl-" + idA + ".scope", cgroup.Match{ID: idA, Runtime: "containerd"}},
		{"ctr free id", "/default/my-redis", cgroup.Match{}},
		{
			"crio systemd",
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidUnd +
				".slice/crio-" + idA + ".scope",
			cgroup.Match{ID: idA, Runtime: "cri-o", PodUID: uid},
		},
		{
			"crio systemd sub-cgroup",
			"/kubepods.slice/kubepods-pod" + uidUnd + ".slice/crio-" + idA + ".scope/container",
			cgroup.Match{ID: idA, Runtime: "cri-o", PodUID: uid},
		},
		{"crio conmon systemd", "/kubepods.slice/kubepods-pod" + uidUnd + ".slice/crio-conmon-" + idA + ".scope", cgroup.Match{}},
		{"crio cgroupfs", "/kubepods/burstable/pod" + uid + "/crio-" + idA, cgroup.Match{ID: idA, Runtime: "cri-o", PodUID: uid}},
		{"crio conmon cgroupfs", "/kubepods/burstable/pod" + uid + "/crio-conmon-" + idA, cgroup.Match{}},
		{"podman cgroupfs", "/libpod_parent/libpod-" + idA, cgroup.Match{ID: idA, Runtime: "podman"}},
		{"podman cgroupfs conmon", "/libpod_parent/conmon", cgroup.Match{}},
		{"podman cgroupfs pod", "/libpod_parent/" + idB + "/libpod-" + idA, cgroup.Match{ID: idA, Runtime: "podman"}},
		{"podman cgroupfs pod conmon", "/libpod_parent/" + idB + "/conmon", cgroup.Match{}},
		{"podman systemd", "/machine.slice/libpod-" + idA + ".scope", cgroup.Match{ID: idA, Runtime: "podman"}},
		{"podman systemd sub-cgroup", "/machine.slice/libpod-" + idA + ".scope/container", cgroup.Match{ID: idA, Runtime: "podman"}},
		{"podman conmon", "/machine.slice/libpod-conmon-" + idA + ".scope", cgroup.Match{}},
		{"podman health check", "/system.slice/" + idA + ".service", cgroup.Match{}},
		{"podman health check timer", "/system.slice/" + idA + "-1f2e3d.timer", cgroup.Match{}},
		{
			"podman rootless",
			"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA +
				".scope/container",
			cgroup.Match{ID: idA, Runtime: "podman"},
		},
		{"podman rootless v1", "/user.slice/user-1000.slice/user@1000.service", cgroup.Match{}},
		{"podman quadlet", "/system.slice/web.service/libpod-payload-" + idA, cgroup.Match{ID: idA, Runtime: "podman"}},
		{"podman quadlet conmon", "/system.slice/web.service/runtime", cgroup.Match{}},
		{"podman pod", "/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", cgroup.Match{ID: idA, Runtime: "podman"}},
		{"podman pod conmon", "/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-conmon-" + idA + ".scope", cgroup.Match{}},
		{
			"kind",
			"/docker/" + idB +
				"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + uidUnd + ".slice/cri-containerd-" + idA + ".scope",
			cgroup.Match{ID: idA, Runtime: "containerd", PodUID: uid},
		},
		{"kind cgroupfs", "/docker/" + idB + "/kubelet/kubepods/besteffort/pod" + uid + "/" + idA, cgroup.Match{ID: idA, PodUID: uid}},
		{"ecs ec2", "/ecs/" + task + "/" + idA, cgroup.Match{ID: idA, Runtime: "docker"}},
		{"ecs ec2 with cluster", "/ecs/shop/" + task + "/" + idA, cgroup.Match{ID: idA, Runtime: "docker"}},
		{"ecs ec2 systemd", "/ecstasks.slice/ecstasks-" + task + ".slice/docker-" + idA + ".scope", cgroup.Match{ID: idA, Runtime: "docker"}},
		{"ecs ec2 task", "/ecs/" + task, cgroup.Match{}},
		{"ecs fargate", "/ecs/" + task + "/" + fargate, cgroup.Match{ID: fargate, Runtime: "ecsfargate"}},
		{"garden", "/garden/" + garden, cgroup.Match{ID: garden, Runtime: "garden"}},
		{"garden systemd", "/system.slice/garden.service/garden/" + garden, cgroup.Match{ID: garden, Runtime: "garden"}},
		{"kata", "/kubepods/burstable/pod" + uid + "/kata_" + idA, cgroup.Match{ID: idA, PodUID: uid, Sandbox: true}},
		{"kata overhead", "/kata_overhead/" + idA, cgroup.Match{ID: idA, Sandbox: true}},
		{"lxc", "/lxc/web", cgroup.Match{}},
		{"lxc payload", "/lxc.payload.web/init.scope", cgroup.Match{}},
		{"nomad", "/nomad.slice/share.slice/1e2b.web.scope", cgroup.Match{}},
		{"nomad v1", "/nomad/1e2b/web", cgroup.Match{}},
		{"host service", "/system.slice/ssh.service", cgroup.Match{}},
		{"root", "/", cgroup.Match{}},
		{"empty", "", cgroup.Match{}},

		{"mount unit", "/system.slice/var-lib-docker-containers-" + idA + "-mounts-shm.mount", cgroup.Match{}},
		{"mount unit ending in the id", "/system.slice/run-" + idA + ".mount", cgroup.Match{}},
		{"helper inside an outer container", "/docker/" + idB + "/system.slice/libpod-conmon-" + idA + ".scope", cgroup.Match{ID: idB, Runtime: "docker"}},
		{"systemd in docker", "/docker/" + idA + "/system.slice/cron.service", cgroup.Match{ID: idA, Runtime: "docker"}},
		{"other cgroup namespace", "/../../burstable/pod" + uid + "/" + idA, cgroup.Match{ID: idA, PodUID: uid}},
		{"removed cgroup", "/docker/" + idA + " (deleted)", cgroup.Match{ID: idA, Runtime: "docker"}},
		{"pod only", "/kubepods/burstable/pod" + uid, cgroup.Match{}},
		{"65 digits", "/docker/a" + idA, cgroup.Match{}},
		{"63 digits", "/docker/" + idA[1:], cgroup.Match{}},
		{"upper case", "/docker/" + strings.ToUpper(idA), cgroup.Match{}},
		{"nested docker", "/docker/" + idB + "/docker/" + idA, cgroup.Match{ID: idA, Runtime: "docker"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := cgroup.Find(tt.path, nil)
			if got != tt.want || ok != (tt.want != cgroup.Match{}) {
				t.Errorf("Find(%q) = %+v, %v; want %+v", tt.path, got, ok, tt.want)
			}
			wantID := tt.want.ID
			if tt.want.Sandbox {
				wantID = ""
			}
			if id, ok := cgroup.ContainerIDFromPath(tt.path, nil); id != wantID ||
				ok != (wantID != "") {
				t.Errorf("ContainerIDFromPath(%q) = %q, %v; want %q", tt.path, id, ok, wantID)
			}
			// A reader in another cgroup namespace sees the same container.
			if tt.path != "" && tt.path != "/" && !strings.HasPrefix(tt.path, "/ecs") {
				if got, _ := cgroup.Find("/../.."+tt.path, nil); got != tt.want {
					t.Errorf("Find(%q) = %+v; want %+v", "/../.."+tt.path, got, tt.want)
				}
			}
		})
	}
}

func TestFindPrefersKnown(t *testing.T) {
	only := func(ids ...string) func(string) bool {
		return func(id string) bool {
			for _, k := range ids {
				if k == id {
					return true
				}
			}
			return false
		}
	}
	nested := "/docker/" + idB + "/docker/" + idA
	nestedPod := "/docker/" + idB + "/kubepods/pod" + uid + "/" + idA
	tests := []struct {
		name  string
		path  string
		known func(string) bool
		want  cgroup.Match
	}{
		{"outer", nested, only(idB), cgroup.Match{ID: idB, Runtime: "docker"}},
		{"inner", nested, only(idA), cgroup.Match{ID: idA, Runtime: "docker"}},
		{"both", nested, only(idA, idB), cgroup.Match{ID: idA, Runtime: "docker"}},
		{"none", nested, only(), cgroup.Match{ID: idA, Runtime: "docker"}},
		{"the outer container is not in the inner pod", nestedPod, only(idB), cgroup.Match{ID: idB, Runtime: "docker"}},
		{"the inner container is", nestedPod, only(idA), cgroup.Match{ID: idA, PodUID: uid}},
	}
	for _, tt := range tests {
		if got, ok := cgroup.Find(tt.path, tt.known); got != tt.want || !ok {
			t.Errorf("%s: Find(%q) = %+v, %v; want %+v", tt.name, tt.path, got, ok, tt.want)
		}
	}
	if id, ok := cgroup.ContainerIDFromPath("/kata_overhead/"+idA, only(idA)); id != idA || !ok {
		t.Errorf("a known sandbox is refused: %q, %v", id, ok)
	}
	if id, ok := cgroup.ContainerIDFromPath("/kata_overhead/"+idA, only(idB)); ok {
		t.Errorf("an unknown sandbox is taken for a container: %q", id)
	}
}

func TestPodUIDFromPath(t *testing.T) {
	tests := []struct{ in, want string }{
		{"/kubepods/burstable/pod" + uid, uid},
		{"/kubepods/burstable/pod" + uid + "/" + idA, uid},
		{"/kubepods/pod" + static + "/" + idA, static},
		{"/kubepods.slice/kubepods-pod" + uidUnd + ".slice", uid},
		{"/kubelet.slice/kubelet-kubepods-burstable-pod" + uidUnd + ".slice/crio-conmon-" + idA + ".scope", uid},
		{"/kubepods.slice/kubepods-pod" + static + ".slice/x", static},
		{"/system.slice/containerd.service/kubepods-burstable-pod" + uidUnd + ".slice:cri-containerd:" + idA, uid},
		{"/pod" + static + "/docker/" + idA + "/kubepods/pod" + uid + "/x", uid},
		{"/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", ""},
		{"/podium/" + uid, ""},
		{"/kubepods/pod" + uid[1:], ""},
		{"/kubepods/poduid", ""},
		{"/system.slice/-pod.slice", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got, ok := cgroup.PodUIDFromPath(tt.in); got != tt.want || ok != (tt.want != "") {
			t.Errorf("PodUIDFromPath(%q) = %q, %v; want %q", tt.in, got, ok, tt.want)
		}
	}
}

func TestIsContainerID(t *testing.T) {
	for _, s := range []string{idA, fargate, garden, task + "-1"} {
		if !cgroup.IsContainerID(s) {
			t.Errorf("IsContainerID(%q) = false", s)
		}
	}
	for _, s := range []string{
		"", "web", idA[1:], "a" + idA, "docker-" + idA, idA + ".scope", task, task + "-", task +
			"-x", "0" + fargate,
		uid, uidUnd, garden + "0", "0" + garden, strings.ToUpper(garden),
	} {
		if cgroup.IsContainerID(s) {
			t.Errorf("IsContainerID(%q) = true", s)
		}
	}
}

func TestInHostNamespace(t *testing.T) {
	if !cgroup.InHostNamespace(4026531835) || cgroup.InHostNamespace(4026532270) {
		t.Error("the initial cgroup namespace is 4026531835 and no other")
	}
}

func ExampleFind() {
	path := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod22fbbcfa_bbe1_4584_b620_cf92b2991773.slice/" +
		"crio-3f0c95a1d2b84e67f0192837465acbde3f0c95a1d2b84e67f0192837465acbde.scope/container"
	m, _ := cgroup.Find(path, nil)
	fmt.Println(m.ID[:12], m.Runtime, m.PodUID)
	// Output: 3f0c95a1d2b8 cri-o 22fbbcfa-bbe1-4584-b620-cf92b2991773
}

// FuzzFind checks that whatever a path gives is spelled in it, has the
// promised syntax, and does not depend on how often it is asked.
func FuzzFind(f *testing.F) {
	f.Add("/docker/"+idB+"/docker/"+idA, idB)
	f.Add("/ecs/"+task+"/"+fargate, "")
	f.Add("/garden/"+garden, garden)
	f.Add("/a-pod"+uidUnd+".slice:cri-containerd:"+idA, idA)
	f.Add("/kubepods/pod"+static+"/crio-conmon-"+idA+".scope (deleted)", idA)
	f.Add("//", "")
	f.Fuzz(func(t *testing.T, path, knownID string) {
		known := func(id string) bool { return id == knownID }
		m, ok := cgroup.Find(path, known)
		anyMatch, anyOK := cgroup.Find(path, nil)
		if ok != anyOK {
			t.Fatalf("Find(%q): %v with known, %v without", path, ok, anyOK)
		}
		if !ok && m != (cgroup.Match{}) {
			t.Fatalf("Find(%q) = %+v without success", path, m)
		}
		if ok && (!cgroup.IsContainerID(m.ID) || !strings.Contains(path, m.ID)) {
			t.Fatalf("Find(%q) = %+v", path, m)
		}
		if m.ID != knownID && m != anyMatch {
			t.Fatalf("Find(%q): %+v with nothing known, %+v without known", path, m, anyMatch)
		}
		if uid, ok := cgroup.PodUIDFromPath(path); ok != (uid != "") || ok && len(uid) != 36 &&
			len(uid) != 32 {
			t.Fatalf("PodUIDFromPath(%q) = %q, %v", path, uid, ok)
		}
		if cgroup.IsContainerID(path) {
			if got, _ := cgroup.Find("/x/"+path, nil); got.ID != path {
				t.Fatalf("Find(%q) = %+v", "/x/"+path, got)
			}
		}
	})
}

// A group at the root of the hierarchy is a container's only for whoever knows so.
func TestGroupAtTheRoot(t *testing.T) {
	for path, want := range map[string]bool{"/" + idA: true, "/" + idA + " (deleted)": true,
		"/../" + idA: false, "/docker/" + idA: false, "/docker-" + idA + ".scope": false} {
		m, ok := cgroup.Find(path, nil)
		if !ok || m.ID != idA || m.AtRoot != want {
			t.Errorf("Find(%q) = %+v, %v; want at the root: %v", path, m, ok, want)
		}
		lines := []cgroup.Line{{Path: path}}
		if _, ok := cgroup.ContainerIDFromPath(path, nil); ok == want {
			t.Errorf("ContainerIDFromPath(%q): %v", path, ok)
		}
		if _, ok := cgroup.ContainerID(lines, nil); ok == want {
			t.Errorf("ContainerID(%q): %v", path, ok)
		}
		if id, ok := cgroup.ContainerIDFromPath(path,
			func(id string) bool { return id == idA }); !ok || id != idA {
			t.Errorf("ContainerIDFromPath(%q) of a known container = %q, %v", path, id, ok)
		}
	}
}
