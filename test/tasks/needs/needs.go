// Package needs says for the project's build tool which programs the tests call.
package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Need is a program that tests call, and the Debian packages that bring it. The second package is
// tried when the first, on this release, does not hold the program.
type Need struct {
	File     string // a name to find in PATH, or an absolute path
	Packages []string
	Reason   string
}

// All are the programs that the tests call.
func All() []Need {
	return []Need{
		{"dockerd", []string{"docker.io"}, "real Docker in tests"},
		{"docker", []string{"docker.io", "docker-cli"}, "real Docker in tests"},
		{"containerd", []string{"containerd"}, "real containerd in tests"},
		{"runc", []string{"runc"}, "containers in tests"},
		{"podman", []string{"podman"}, "real Podman in tests"},
		{"conmon", []string{"conmon"}, "real Podman in tests"},
		{"busybox", []string{"busybox-static"}, "the only program in test images"},
		{"/usr/lib/cni/bridge", []string{"containernetworking-plugins"}, "pod networks in tests"},
		{"/usr/lib/podman/netavark", []string{"netavark"}, "Podman's networks in tests"},
		{"gcc", []string{"gcc", "build-essential"}, "the race detector"},
		{"/usr/include/stdlib.h", []string{"libc6-dev"}, "the race detector"},
		{"pkg-config", []string{"pkgconf", "pkg-config"}, "building the newest runc"},
		{"/usr/include/seccomp.h", []string{"libseccomp-dev"}, "building the newest runc"},
	}
}

// Missing reports whether the program is not there.
func (n Need) Missing() bool {
	paths := []string{n.File, "/usr/sbin/" + n.File}
	if filepath.IsAbs(n.File) {
		_, err := os.Stat(n.File)
		return err != nil
	}
	return !slices.ContainsFunc(paths,
		func(path string) bool { _, err := exec.LookPath(path); return err == nil })
}
