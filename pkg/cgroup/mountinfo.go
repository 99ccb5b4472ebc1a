package cgroup

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Self is what the mounts of a container's process say about the container.
// Parts they do not tell are empty.
type Self struct {
	ContainerID string

	// PodUID and ContainerName come from mounts that the kubelet makes. The
	// pair names a container as surely as an ID; the store resolves it.
	PodUID        string
	ContainerName string

	// SandboxID is the ID of the pod's sandbox, not of the container.
	SandboxID string
}

// ContainerIDFromMountinfo reads the content of /proc/<pid>/mountinfo
// (proc_pid_mountinfo(5)). It is for a process whose cgroup path is hidden by a
// namespace, first of all the caller itself.
//
// An ID in the source of the /etc/hostname mount is the container's with Docker
// and Podman, but the sandbox's in a pod of Kubernetes. The two look alike with
// CRI-O and Docker, so any mount made by the kubelet decides. With Docker's
// --network=container:<other>, the mount is the other container's, and so is
// the answer. Containers see their cgroup's path as the source of
// /sys/fs/cgroup mounts with cgroup v1 and the host's namespace; that ID is
// preferred.
//
// Lines that are not of the documented form make an error that quotes the
// first of them; what the other lines tell is returned all the same.
func ContainerIDFromMountinfo(r io.Reader) (Self, error) {
	var self Self
	var hostname, cgroupID string
	var bad error
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20) // overlay options name every layer
	for n := 1; s.Scan(); n++ {
		if s.Text() == "" {
			continue
		}
		fields := strings.SplitN(s.Text(), " ", 6)
		if len(fields) < 6 {
			if bad == nil {
				bad = fmt.Errorf("parse mountinfo line %d: %q has fewer than 6 fields", n, s.Text())
			}
			continue
		}
		root, point := strings.TrimSuffix(fields[3], "//deleted"), fields[4]
		switch {
		case point == "/dev/termination-log":
			if uid, name, ok := terminationLog(root); ok {
				self.PodUID, self.ContainerName = uid, name
			}
		case point == "/etc/hosts":
			if uid, ok := etcHosts(root); ok && self.PodUID == "" {
				self.PodUID = uid
			}
		case point == "/etc/hostname", point == "/run/.containerenv":
			if id, sandbox := hostnameOwner(root); sandbox {
				self.SandboxID = id
			} else if id != "" {
				hostname = id
			}
		case cgroupID == "" &&
			(point == "/sys/fs/cgroup" || strings.HasPrefix(point, "/sys/fs/cgroup/")):
			cgroupID, _ = ContainerIDFromPath(root, nil)
		}
	}
	if err := s.Err(); err != nil {
		bad = fmt.Errorf("read mountinfo: %w", err)
	}
	switch {
	case self.PodUID != "" && self.SandboxID == "":
		self.SandboxID = hostname
	case self.SandboxID == "":
		self.ContainerID = hostname
	}
	if cgroupID != "" {
		self.ContainerID = cgroupID
	}
	return self, bad
}

// terminationLog reads …/pods/<uid>/containers/<name>/<hash>.
func terminationLog(root string) (uid, name string, ok bool) {
	p := lastElements(root, 5)
	if p == nil || p[0] != "pods" || !isPodUID(p[1]) || p[2] != "containers" || p[3] == "" {
		return "", "", false
	}
	return p[1], p[3], true
}

// etcHosts reads …/pods/<uid>/etc-hosts.
func etcHosts(root string) (uid string, ok bool) {
	p := lastElements(root, 3)
	if p == nil || p[0] != "pods" || !isPodUID(p[1]) || p[2] != "etc-hosts" {
		return "", false
	}
	return p[1], true
}

// hostnameOwner reads …/containers/<id>/hostname (Docker),
// …/overlay-containers/<id>/userdata/hostname (Podman, CRI-O; the storage
// driver is part of the name) and …/sandboxes/<id>/hostname (containerd).
func hostnameOwner(root string) (id string, sandbox bool) {
	p := lastElements(root, 3)
	if p != nil && p[1] == "userdata" {
		p = lastElements(root, 4)
		if p == nil || !strings.HasSuffix(p[0], "-containers") {
			return "", false
		}
	} else if p == nil || p[2] != "hostname" || p[0] != "containers" && p[0] != "sandboxes" {
		return "", false
	}
	if !IsContainerID(p[1]) {
		return "", false
	}
	return p[1], p[0] == "sandboxes"
}

// lastElements returns the last n elements of path, nil if it has fewer.
func lastElements(path string, n int) []string {
	elements := strings.Split(path, "/")
	if len(elements) < n {
		return nil
	}
	return elements[len(elements)-n:]
}
