// Package docker collects containers and images from a Docker daemon.
//
// The collector is a [workloadmeta.Streamer]. It pings the daemon (never /info, which a single
// wedged container can block), agrees on an API version, refuses a Podman that answers in Docker's
// place, because it has a collector of its own, and then follows the daemon's events: package
// follow says how, and what it promises. Environment variables enter only through the allow-list,
// see package env.
//
// It talks to the daemon with read-only requests: GET _ping, events, containers/json,
// containers/<id>/json, images/json, images/<id>/json, images/<id>/history. API versions 1.24 to
// 1.52 are understood.
//
// When this process runs in a container, mount the folder with the socket (/var/run), not the
// socket: a daemon that restarts makes a new socket, and a mounted one stays the old one for ever.
package docker
