package podman_test

import (
	"fmt"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/podman"
)

// An address that makes no sense is found out at once.
func ExampleNew() {
	_, err := podman.New(
		podman.Options{Sockets: []string{"/run/user/*/podman/podman.sock", "podman.sock"}})
	fmt.Println(strings.ReplaceAll(err.Error(), ": ", ":\n"))
	// Output:
	// podman collector:
	// option Sockets:
	// podman address "podman.sock":
	// want a path, in which * is any text, unix:///path or tcp://host:port
}
