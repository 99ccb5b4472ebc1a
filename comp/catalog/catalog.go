// Package catalog lists the collectors that rollcall's own programs link. Configuration, its
// documentation, switches, status and the command line are made of this list: a new collector is a
// folder with a Spec, and a line here. A program that links others makes a list of its own.
package catalog

import (
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/host"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/apiserver"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/kubelet"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/podresources"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/containerd"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/cri"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/podman"
)

// Collectors returns the list, in the order of the documentation. The caller owns it.
func Collectors() []collection.AnySpec {
	return []collection.AnySpec{
		docker.Spec,
		containerd.Spec,
		podman.Spec,
		cri.Spec,
		kubelet.Spec,
		apiserver.Spec,
		podresources.Spec,
		process.Spec,
		host.Spec,
	}
}
