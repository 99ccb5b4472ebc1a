package mapping

import "github.com/rollcall-dev/rollcall/comp/workloadmeta"

// Kinds of seccomp profiles, as Kubernetes calls them.
const (
	SeccompDefault    = "RuntimeDefault"
	SeccompUnconfined = "Unconfined"
	SeccompLocalhost  = "Localhost"
)

// Security returns what a container may do. Capabilities are those that were added to the default
// and dropped from it, in any spelling; a nil profile is not known. A privileged container has no
// filter, whatever was asked for.
func Security(privileged bool, add, drop []string,
	profile *workloadmeta.SeccompProfile) *workloadmeta.ContainerSecurityContext {
	s := &workloadmeta.ContainerSecurityContext{Privileged: privileged, SeccompProfile: profile}
	if len(add)+len(drop) > 0 {
		s.Capabilities = &workloadmeta.Capabilities{Add: Capabilities(add),
			Drop: Capabilities(drop)}
	}
	if privileged {
		s.SeccompProfile = &workloadmeta.SeccompProfile{Type: SeccompUnconfined}
	}
	return s
}
