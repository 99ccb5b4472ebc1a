// Package cgroup finds out which container and which pod a process belongs to
// from what the kernel says about its control groups and mounts.
//
// The input is text: a cgroup path, the content of /proc/<pid>/cgroup or of
// /proc/<pid>/mountinfo. Nothing but [Inode] looks at a file. Paths may come from
// either cgroup version, either cgroup driver and any namespace: one seen from
// inside another cgroup namespace starts with "/../..", and its last elements,
// which are the ones that count, are intact.
//
// An element that names a helper of a container (a conmon, a health check's
// transient service, a mount unit) or a group of containers (a slice) is never
// taken for the container, although it carries an ID. A path without a
// recognisable ID gives no answer; containers with IDs of somebody's choosing
// have to be found by their whole path.
package cgroup

import "strings"

// Runtimes as [Match] names them; the spelling is the store's.
const (
	RuntimeDocker     = "docker"
	RuntimeContainerd = "containerd"
	RuntimeCRIO       = "cri-o"
	RuntimePodman     = "podman"
	RuntimeGarden     = "garden"
	RuntimeECSFargate = "ecsfargate"
)

// HostNamespaceInode is the inode of the initial cgroup namespace, a constant
// of Linux (PROC_CGROUP_INIT_INO in include/linux/proc_ns.h).
const HostNamespaceInode = 0xEFFFFFFB

// InHostNamespace reports whether the inode of a /proc/<pid>/ns/cgroup is that
// of the host. Inside a container that runs containers the answer is about the
// machine, not about the outer container.
func InHostNamespace(inode uint64) bool { return inode == HostNamespaceInode }

// Match is what a cgroup path says about a process.
type Match struct {
	// ID is the container's ID.
	ID string
	// Runtime is a guess from how the path is spelled, "" if it does not tell
	// (an ID directly below a pod may be Docker's or containerd's).
	Runtime string
	// PodUID is the UID of the Kubernetes pod around the container, in the
	// form the API has it, or "".
	PodUID string
	// AtRoot is set if the ID is all there is of the path. Nearly always that
	// is a managed plugin of Docker; a container it is only for whoever has
	// another reason to believe so.
	AtRoot bool
	// Sandbox is set if ID is that of a whole sandbox and the containers in
	// it have no cgroup on this machine (Kata).
	Sandbox bool
}

// Find returns the container a cgroup path belongs to. The elements are read
// from right to left; the first ID that known accepts wins, so that of nested
// containers the innermost that this machine's runtimes know of is found. If
// none is accepted, or known is nil, it is the rightmost ID.
func Find(path string, known func(id string) bool) (Match, bool) {
	path = trim(path)
	var first Match
	found := false
	for end := len(path); end > 0; {
		start := strings.LastIndexByte(path[:end], '/') + 1
		if m, ok := matchElement(path[:end], start); ok {
			if known == nil || known(m.ID) {
				m.PodUID, _ = PodUIDFromPath(path[:end])
				return m, true
			}
			if !found {
				m.PodUID, _ = PodUIDFromPath(path[:end])
				first, found = m, true
			}
		}
		end = start - 1
	}
	return first, found
}

// ContainerIDFromPath is [Find] for callers who want a container and nothing
// else. The ID of a sandbox, or of a group at the hierarchy's root, is returned
// only if known accepts it.
func ContainerIDFromPath(path string, known func(id string) bool) (id string, ok bool) {
	m, ok := Find(path, known)
	if !ok || (m.Sandbox || m.AtRoot) && (known == nil || !known(m.ID)) {
		return "", false
	}
	return m.ID, true
}

// PodUIDFromPath returns the UID of the innermost pod in a cgroup path. It
// needs no container in the path: the pod's own cgroup will do.
func PodUIDFromPath(path string) (uid string, ok bool) {
	path = trim(path)
	for end := len(path); end > 0; {
		start := strings.LastIndexByte(path[:end], '/') + 1
		if uid, ok := podUID(path[start:end]); ok {
			return uid, true
		}
		end = start - 1
	}
	return "", false
}

// trim removes what the kernel adds to the path of a cgroup that has been
// removed under a process.
func trim(path string) string { return strings.TrimSuffix(path, " (deleted)") }

// podUID reads the element of a pod: "pod<uid>" with the cgroupfs driver,
// "kubepods-<qos>-pod<uid>.slice" with systemd, and that followed by
// ":cri-containerd:<id>" where kubelet and containerd disagree on the driver.
func podUID(element string) (string, bool) {
	element, _, _ = strings.Cut(element, ":")
	if s, ok := strings.CutSuffix(element, ".slice"); ok {
		i := strings.LastIndex(s, "-pod")
		if i < 0 {
			return "", false
		}
		element = s[i+1:]
	}
	uid, ok := strings.CutPrefix(element, "pod")
	if !ok || !isPodUID(uid) {
		return "", false
	}
	return strings.ReplaceAll(uid, "_", "-"), true
}

// matchElement reads the last element of path, which begins at start.
func matchElement(path string, start int) (Match, bool) {
	// Of systemd's units only scopes hold containers. Everything else that
	// ends in .something has no ID at its end and falls through.
	element := strings.TrimSuffix(path[start:], ".scope")
	n := idLen(element)
	if n == 0 {
		return Match{}, false
	}
	m := Match{ID: element[len(element)-n:]}
	if len(m.ID) == gardenIDLen {
		m.Runtime = RuntimeGarden
	} else if len(m.ID) != ociIDLen {
		m.Runtime = RuntimeECSFargate
	}
	prefix := strings.TrimRight(element[:len(element)-n], "-_:")
	if i := strings.LastIndexByte(prefix, ':'); i >= 0 {
		prefix = prefix[i+1:] // slice:prefix:id
	}
	switch prefix {
	case "crio-conmon", "libpod-conmon", "conmon":
		return Match{}, false
	case "docker":
		m.Runtime = RuntimeDocker
	case "cri-containerd", "nerdctl":
		m.Runtime = RuntimeContainerd
	case "crio":
		m.Runtime = RuntimeCRIO
	case "libpod", "libpod-payload":
		m.Runtime = RuntimePodman
	case "kata":
		m.Sandbox = true
	case "":
		return matchParent(m, path[:max(start-1, 0)])
	}
	return m, true
}

// matchParent completes a match whose element is an ID and nothing else from
// the elements above it.
func matchParent(m Match, parents string) (Match, bool) {
	if m.AtRoot = parents == "" && len(m.ID) == ociIDLen; m.AtRoot {
		return m, true
	}
	above, parent := "", parents
	if i := strings.LastIndexByte(parents, '/'); i >= 0 {
		above, parent = parents[:i], parents[i+1:]
	}
	switch parent {
	case "docker":
		m.Runtime = RuntimeDocker
	case "k8s.io":
		m.Runtime = RuntimeContainerd
	case "kata_overhead":
		m.Sandbox = true
	case "libpod_parent":
		return Match{}, false // a pod of Podman; its containers are below
	default:
		// Docker's containers of ECS on EC2: /ecs/<task>/<id> or
		// /ecs/<cluster>/<task>/<id>.
		if m.Runtime == "" &&
			(strings.HasSuffix(above, "/ecs") || strings.HasPrefix(above, "/ecs/")) {
			m.Runtime = RuntimeDocker
		}
	}
	return m, true
}
