package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/catalog"
)

// What is wrong with the options of one collector is part of status, beside the others; other
// commands, roles among them, are refused. The option is named as it is written, also if it is not
// set.
func TestWrongOptionsOfOneCollector(t *testing.T) {
	const want = "option apiserver.allow_direct_slices: services are asked for on a node"
	for command, code := range map[string]int{"status": 0, "ls": 1, "rbac": 1} {
		var out, errs bytes.Buffer
		a := &app{out: &out, err: &errs, collectors: catalog.Collectors()}
		args := []string{command, "--set", `apiserver.resources=["services"]`}
		for _, id := range []string{"docker", "containerd", "podman", "cri", "process", "kubelet"} {
			args = append(args, "--set", "collectors."+id+"=off")
		}
		got := a.run(t.Context(), args)
		said := errs.String()
		if command == "status" {
			said = out.String()
		}
		if got != code || !strings.Contains(said, want) ||
			(command == "status") != strings.Contains(out.String(), "docker") {
			t.Errorf("%s: %d\n%s\n%s", command, got, out.String(), errs.String())
		}
	}
}
