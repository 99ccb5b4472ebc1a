// Package unprivileged runs a test as a user to whom things can be forbidden. CI runs
// as root, to whom nothing is; without this, such tests would be skipped there for ever.
package unprivileged

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// nobody is a user and a group that own nothing.
const nobody = 65534

// Run runs body, if this process is not root's. If it is, Run runs the whole test again
// in a process of nobody's, and fails if it fails or is skipped there. The test must not
// need its working directory.
func Run(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		body(t)
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("nothing is forbidden to root, and only on Linux the test can run as somebody else")
	}
	// The link leads to the binary whoever may look into its folder.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v",
		"-test.count=1")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	become(cmd, nobody)
	out, err := cmd.CombinedOutput()
	if err != nil || !passed(out, t.Name()) {
		t.Fatalf("as user %d: %v\n%s", nobody, err, out)
	}
}

// passed reports whether the verbose output says that the test ran to its end.
func passed(out []byte, name string) bool {
	return bytes.Contains(out, []byte("--- PASS: "+name+" "))
}
