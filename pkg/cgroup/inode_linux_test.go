package cgroup_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/cgroup"
)

func TestInode(t *testing.T) {
	const path = "/docker/" + idA
	for name, tc := range map[string]struct {
		folders []string // below /sys/fs/cgroup
		path    string
		want    string
	}{
		"second version": {[]string{path}, path, path},
		"first version":  {[]string{"cpu" + path, "memory" + path}, path, "memory" + path},
		"first version, the memory controller alone counts": {[]string{"cpu" + path}, path, ""},
		"first version, no group below is asked for": {[]string{"memory" + path + "/container"},
			path, "memory" + path},
		"crun's group below":     {[]string{path + "/container"}, path, path + "/container"},
		"another group below":    {[]string{path + "/init.scope"}, path, path},
		"gone":                   {[]string{"docker"}, path, ""},
		"no path":                {[]string{path, "memory"}, "", ""},
		"the root":               {[]string{path, "memory"}, "/", ""},
		"from another namespace": {[]string{path}, "/.." + path, ""},
	} {
		t.Run(name, func(t *testing.T) {
			host := t.TempDir()
			cgroups := filepath.Join(host, "sys/fs/cgroup")
			for _, folder := range tc.folders {
				if err := os.MkdirAll(filepath.Join(cgroups, folder), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			var want uint64
			if tc.want != "" {
				var st syscall.Stat_t
				if err := syscall.Stat(filepath.Join(cgroups, tc.want), &st); err != nil {
					t.Fatal(err)
				}
				want = st.Ino
			}
			if got := cgroup.Inode(filepath.Join(host, "proc"), tc.path); got != want {
				t.Errorf("inode %d, want %d", got, want)
			}
		})
	}
}

func TestInodeOfWhatIsNoFolder(t *testing.T) {
	host := t.TempDir()
	if err := os.MkdirAll(filepath.Join(host, "sys/fs/cgroup"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(host, "sys/fs/cgroup/a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := cgroup.Inode(filepath.Join(host, "proc"), "/a"); got != 0 {
		t.Errorf("inode %d of a file", got)
	}
}
