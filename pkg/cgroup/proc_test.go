package cgroup_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rollcall-dev/rollcall/pkg/cgroup"
)

func TestParse(t *testing.T) {
	lines, err := cgroup.Parse(strings.NewReader(
		"12:cpu,cpuacct:/docker/" + idA + "\n" +
			"1:name=systemd:/docker/" + idA + "\n" +
			"\n" +
			"0::/system.slice/containerd.service/kubepods-pod" + uidUnd + ".slice:cri-containerd:" +
			idA + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []cgroup.Line{
		{Hierarchy: 12, Controllers: []string{"cpu", "cpuacct"}, Path: "/docker/" + idA},
		{Hierarchy: 1, Controllers: []string{"name=systemd"}, Path: "/docker/" + idA},
		{Path: "/system.slice/containerd.service/kubepods-pod" + uidUnd + ".slice:cri-containerd:" + idA},
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("Parse = %+v\nwant    %+v", lines, want)
	}
}

func TestParseReportsBadLines(t *testing.T) {
	for _, bad := range []string{"memory", "4:memory", "x:memory:/", "-1:memory:/",
		"4:memory:docker"} {
		lines, err := cgroup.Parse(strings.NewReader("4:memory:/a\n" + bad + "\nworse\n0::/b\n"))
		if err == nil || !strings.Contains(err.Error(), "line 2") ||
			!strings.Contains(err.Error(), `"`+bad+`"`) {
			t.Errorf("Parse(%q): error %v does not name the line", bad, err)
		}
		if len(lines) != 2 || lines[0].Path != "/a" || lines[1].Path != "/b" {
			t.Errorf("Parse(%q) = %+v; the good lines are lost", bad, lines)
		}
	}
	broken := errors.New("broken")
	if _, err := cgroup.Parse(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("Parse of a broken reader: %v", err)
	}
}

func TestContainerID(t *testing.T) {
	parse := func(s string) []cgroup.Line {
		t.Helper()
		lines, err := cgroup.Parse(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	tests := []struct{ name, in, known, want string }{
		{name: "v2", in: "0::/docker/" + idA, want: idA},
		{name: "hybrid", in: "4:memory:/docker/" + idA + "\n0::/docker/" + idA, want: idA},
		{name: "no memory controller", in: "5:cpu:/\n1:name=systemd:/docker/" + idA, want: idA},
		{name: "host", in: "4:memory:/user.slice\n0::/init.scope"},
		{name: "private namespace", in: "4:memory:/\n0::/"},
		{name: "known on a later line", in: "4:memory:/docker/" + idA + "\n0::/docker/" + idB, known: idB, want: idB},
		{name: "kata", in: "0::/kata_overhead/" + idA},
		{name: "empty"},
	}
	for _, tt := range tests {
		known := func(id string) bool { return id == tt.known }
		if id, ok := cgroup.ContainerID(parse(tt.in), known); id != tt.want ||
			ok != (tt.want != "") {
			t.Errorf("%s: ContainerID = %q, %v; want %q", tt.name, id, ok, tt.want)
		}
	}
}

func TestContainerIDFromMountinfo(t *testing.T) {
	const (
		overlay = "471 437 0:52 / / rw,relatime - overlay overlay rw,lowerdir=/l/A:/l/B\n"
		tail    = " rw,relatime - ext4 /dev/vda1 rw\n"
	)
	mount := func(root, point string) string { return "476 437 254:0 " + root + " " + point + tail }
	termination := mount("/var/lib/kubelet/pods/"+uid+"/containers/main/da74cebb",
		"/dev/termination-log")
	etcHosts := mount("/var/lib/kubelet/pods/"+uid+"/etc-hosts", "/etc/hosts")
	tests := []struct {
		name string
		in   string
		want cgroup.Self
	}{
		{"docker", overlay + mount("/var/lib/docker/containers/"+idA+"/hostname", "/etc/hostname"), cgroup.Self{ContainerID: idA}},
		{"docker on its own disk", mount("/containers/"+idA+"/hostname", "/etc/hostname"), cgroup.Self{ContainerID: idA}},
		{
			"podman",
			mount("/containers/storage/overlay-containers/"+idA+"/userdata/hostname",
				"/etc/hostname") +
				mount("/containers/storage/overlay-containers/"+idA+"/userdata/.containerenv",
					"/run/.containerenv"),
			cgroup.Self{ContainerID: idA},
		},
		{
			"podman with the vfs driver",
			mount("/home/u/.local/share/containers/storage/vfs-containers/"+idA+
				"/userdata/hostname", "/etc/hostname"),
			cgroup.Self{ContainerID: idA},
		},
		{
			"containerd CRI",
			mount("/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/"+idB+"/hostname",
				"/etc/hostname") + termination + etcHosts,
			cgroup.Self{PodUID: uid, ContainerName: "main", SandboxID: idB},
		},
		{
			"CRI-O",
			etcHosts + termination +
				mount("/containers/storage/overlay-containers/"+idB+"/userdata/hostname",
					"/etc/hostname"),
			cgroup.Self{PodUID: uid, ContainerName: "main", SandboxID: idB},
		},
		{
			"dockershim",
			mount("/var/lib/docker/containers/"+idB+"/hostname", "/etc/hostname") + etcHosts,
			cgroup.Self{PodUID: uid, SandboxID: idB},
		},
		{
			"cgroup v1 in the host's namespace",
			"480 470 0:30 /kubepods/burstable/pod" + uid + "/" + idA +
				" /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n" +
				mount("/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/"+idB+"/hostname",
					"/etc/hostname") + termination,
			cgroup.Self{ContainerID: idA, PodUID: uid, ContainerName: "main", SandboxID: idB},
		},
		{
			"cgroup v1 in its own namespace",
			"480 470 0:30 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			cgroup.Self{},
		},
		{
			"the host's cgroups mounted elsewhere",
			"480 470 0:30 /docker/" + idA +
				" /host/sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			cgroup.Self{},
		},
		{
			"deleted source",
			mount("/var/lib/docker/containers/"+idA+"/hostname//deleted", "/etc/hostname"),
			cgroup.Self{ContainerID: idA},
		},
		{"a volume's ID is nobody", mount("/var/lib/docker/volumes/"+idB+"/_data/hostname", "/etc/hostname"), cgroup.Self{}},
		{"host", "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n", cgroup.Self{}},
		{"empty", "", cgroup.Self{}},
	}
	for _, tt := range tests {
		got, err := cgroup.ContainerIDFromMountinfo(strings.NewReader(tt.in))
		if got != tt.want || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}

	got, err := cgroup.ContainerIDFromMountinfo(strings.NewReader("22 1 254:1\n" + etcHosts))
	if err == nil || !strings.Contains(err.Error(), `"22 1 254:1"`) || got.PodUID != uid {
		t.Errorf("a bad line among good ones: %+v, %v", got, err)
	}
	broken := errors.New("broken")
	if _, err := cgroup.ContainerIDFromMountinfo(iotest.ErrReader(broken)); !errors.Is(err,
		broken) {
		t.Errorf("a broken reader: %v", err)
	}
}

// FuzzParse checks that every returned line has a path and that the container
// found in the lines is one of theirs.
func FuzzParse(f *testing.F) {
	f.Add("12:cpu,cpuacct:/docker/" + idA + "\n0::/\n")
	f.Add("::\n0::/a:b\n-1::/")
	f.Fuzz(func(t *testing.T, s string) {
		lines, err := cgroup.Parse(strings.NewReader(s))
		for _, l := range lines {
			if l.Hierarchy < 0 || !strings.HasPrefix(l.Path, "/") || !strings.Contains(s, l.Path) {
				t.Fatalf("Parse(%q) = %+v", s, lines)
			}
		}
		if err == nil && len(lines) == 0 && strings.Trim(s, "\r\n") != "" {
			t.Fatalf("Parse(%q): neither line nor error", s)
		}
		if id, ok := cgroup.ContainerID(lines, nil); ok &&
			(!cgroup.IsContainerID(id) || !strings.Contains(s, id)) {
			t.Fatalf("ContainerID of %q = %q", s, id)
		}
	})
}

// FuzzContainerIDFromMountinfo checks that every answer is spelled in the
// input and has the promised syntax.
func FuzzContainerIDFromMountinfo(f *testing.F) {
	f.Add("476 437 254:0 /var/lib/docker/containers/" + idA +
		"/hostname /etc/hostname rw - ext4 d rw\n")
	f.Add("1 1 1:1 /pods/" + uid +
		"/containers/main/x /dev/termination-log rw - ext4 d rw\n1 1 1:1 /sandboxes/" + idB +
		"/hostname /etc/hostname rw\n")
	f.Add("1 1 1:1 /x/pod" + uid + "/" + idA + " /sys/fs/cgroup/memory rw - cgroup\n")
	f.Fuzz(func(t *testing.T, s string) {
		got, _ := cgroup.ContainerIDFromMountinfo(strings.NewReader(s))
		for _, id := range []string{got.ContainerID, got.SandboxID} {
			if id != "" && (!cgroup.IsContainerID(id) || !strings.Contains(s, id)) {
				t.Fatalf("%q gives ID %q", s, id)
			}
		}
		if !strings.Contains(s, got.PodUID) || !strings.Contains(s, got.ContainerName) ||
			got.ContainerName != "" && got.PodUID == "" {
			t.Fatalf("%q gives %+v", s, got)
		}
	})
}
