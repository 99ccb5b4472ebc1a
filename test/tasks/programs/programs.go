// Package programs builds for the project's build tool the daemons that tests run.
package programs

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/rollcall-dev/rollcall/test/tasks/shell"
)

// Build builds the programs that test/realnode/newest/go.mod names into a folder of the
// user's cache, one for each set of versions, and returns it.
func Build() (string, error) {
	dir, err := cacheFolder("daemons", newestModule)
	if err != nil {
		return "", err
	}
	return dir, buildTools(newestModule, dir)
}

// Modules with the programs that tests run as daemons. That of Kubernetes is as it was released,
// with its own libraries, which etcd's are not.
var (
	newestModule = filepath.Join("test", "realnode", "newest")
	etcdModule   = filepath.Join("test", "realnode", "kube", "etcd")
)

// Kube is the version of Kubernetes that is taken unless another one is asked for.
const Kube = "1.37"

func kubeModule(version string) string {
	return filepath.Join("test", "realnode", "kube", "v"+version)
}

// KubeFolder is the folder of the user's cache for etcd, and for kube-apiserver and kubelet of a
// version, such as "1.37".
func KubeFolder(version string) (string, error) {
	return cacheFolder("kube", kubeModule(version), etcdModule)
}

// BuildKube builds the programs of Kubernetes and returns their folder.
func BuildKube(release string) (string, error) {
	dir, err := KubeFolder(release)
	if err != nil {
		return "", err
	}
	kubeModule := kubeModule(release)
	version, err := shell.Capture(nil, "go", "-C", kubeModule, "list", "-m", "-f", "{{.Version}}",
		"k8s.io/kubernetes")
	if err != nil {
		return "", err
	}
	version = strings.TrimSpace(version)
	numbers := strings.Split(strings.TrimPrefix(version, "v"), ".")
	const in = "-X k8s.io/component-base/version."
	flags := fmt.Sprintf("-ldflags=-s -w %sgitVersion=%s %sgitMajor=%s %sgitMinor=%s", in, version,
		in, numbers[0], in, numbers[1])
	if err := buildTools(etcdModule, dir); err != nil {
		return "", err
	}
	return dir, buildTools(kubeModule, dir, flags)
}

// cacheFolder returns a folder of the user's cache, one for each set of versions in the modules.
func cacheFolder(name string, modules ...string) (string, error) {
	hash := sha256.New()
	for _, module := range modules {
		sums, err := os.ReadFile(filepath.Join(module, "go.sum"))
		if err != nil {
			return "", err
		}
		hash.Write(sums)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "rollcall", name+"-"+fmt.Sprintf("%x", hash.Sum(nil))[:12]), nil
}

// buildTools builds the programs that a module's go.mod names as its tools into a folder.
func buildTools(module, dir string, flags ...string) error {
	programs, err := shell.Capture(nil, "go", "-C", module, "list", "tool")
	if err != nil {
		return err
	}
	for _, program := range strings.Fields(programs) {
		env := []string{"CGO_ENABLED=0"}
		goArgs := append([]string{"-C", module, "build", "-trimpath"}, flags...)
		out := dir + string(filepath.Separator)
		switch path.Base(program) {
		case "runc":
			// It enters namespaces in C, and Docker asks it for seccomp filters.
			env, goArgs = []string{"CGO_ENABLED=1"}, append(goArgs, "-tags=seccomp")
		case "v3": // of go.etcd.io/etcd/server
			out += "etcd"
		}
		if err := shell.RunEnv(env, "go", append(goArgs, "-o", out, program)...); err != nil {
			return err
		}
	}
	return nil
}
