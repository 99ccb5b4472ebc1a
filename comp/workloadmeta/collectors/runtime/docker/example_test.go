package docker_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
)

// A collector says what it finds, or why it finds nothing.
func ExampleCollector_Detect() {
	c, err := docker.New(docker.Options{Host: "unix:///nowhere/docker.sock"})
	if err != nil {
		fmt.Println(strings.ReplaceAll(err.Error(), ": ", ":\n"))
		return
	}
	found := c.Detect(context.Background())
	fmt.Println(found.State)
	fmt.Println(found.String())
	// Output:
	// absent
	// no socket at /nowhere/docker.sock; set docker.host or DOCKER_HOST
}

// An address that makes no sense is found out at once.
func ExampleNew() {
	_, err := docker.New(docker.Options{Host: "docker.sock"})
	fmt.Println(strings.ReplaceAll(err.Error(), ": ", ":\n"))
	// Output:
	// docker collector:
	// option Host:
	// docker host "docker.sock":
	// want unix:///path, tcp://host:port or npipe:////./pipe/name
}
