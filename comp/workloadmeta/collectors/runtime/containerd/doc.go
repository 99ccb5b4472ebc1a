// Package containerd collects containers and images from a containerd, over its own interface: all
// of its namespaces, and with what its CRI plugin notes of pods' containers.
//
// Package follow does the following of events and lists; see there for how a connection goes and
// what is promised. What this package adds is containerd's language:
//
//   - One list of containers and one of tasks for each namespace tell everything, so that nothing
//     is inspected at the start. An event costs two requests, one about an exec'd process none. An
//     image's content is read once: it never changes.
//   - The record that the CRI plugin keeps with a container tells of its pod, its ports and its
//     limits. It has the whole environment in it, which is never decoded. Of the OCI
//     specification's environment only what is on the allow-list enters, see package env.
//   - A container is known by its namespace and its ID. Containers of Docker, in the namespace
//     moby, are left to Docker's collector, which knows more of them, when that one runs.
//   - What only events tell (when a container was started, how it ended after its task was deleted)
//     is remembered for a bounded number of containers, over all connections.
//   - An image is known by the digest of its configuration, under all the names it has in all
//     namespaces.
//
// It talks to containerd with read-only requests: Version, Namespaces.List, Containers.ListStream
// and Get, Tasks.List and Get, Images.List and Get, Content.Read, Events.Subscribe. It is tested
// with containerd 1.6 and 2.4.
//
// When this process runs in a container, mount the folder with the socket (/run/containerd), not
// the socket: a daemon that restarts makes a new socket, and a mounted one stays the old one for
// ever. The machine's /proc tells when a container was started and what addresses it has, where
// neither events nor the CRI plugin do.
package containerd
