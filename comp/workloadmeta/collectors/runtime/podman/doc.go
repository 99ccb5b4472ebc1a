// Package podman collects containers and images from Podman, through its REST API on Unix sockets.
//
// Podman has no daemon. Each user, root included, has a storage and containers of their own, and a
// service that answers for them on a socket, which systemd starts when somebody connects and which
// ends when nobody has for a while. Each socket that is found has an instance of the collector of
// its own: see [DefaultSockets] and [Options.Sockets]. They may come and go.
//
// How a runtime is followed is told in package runtimesync. What Podman adds to its promises:
//
//   - When a socket's file has gone, its containers stay for as long as their processes run, if
//     those can be seen here.
//   - A container that Podman believes to run, but of which the process is not there any more, does
//     not run. Podman does not notice when both the process and its monitor were killed.
//   - Infra and service containers of pods are no workload: Podman says which they are. Containers
//     of a pod have its ID and its name as labels (io.podman.pod.id, io.podman.pod.name), and the
//     addresses and ports of the network they share.
//   - A restart by the restart policy is no end: an inspection right after an end waits for a
//     moment to see.
//   - Where Podman keeps no events (events_logger none), the lists are compared every
//     [Options.PollEvery]. What lives shorter is then not seen.
//   - A health check's result is looked at anew with every comparison, because lists do not have it
//     and its events can be switched off.
//   - Environment variables enter only through the allow-list, see package env. Of command lines
//     nothing is read.
//
// It sends read-only requests: GET _ping, libpod/events, libpod/containers/json,
// libpod/containers/<id>/json, libpod/images/json, libpod/images/<id>/json, libpod/pods/<id>/json.
// Podman 4 and 5 are understood.
//
// When this process runs in a container, mount the folders of the sockets (/run/podman, /run/user),
// not the sockets: a service that restarts may make a new socket, and a mounted one stays the old
// one for ever.
package podman
