// Package docker collects containers and images from a Docker daemon.
//
// The collector is a [workloadmeta.Streamer]. One run of Stream goes like this:
//
//  1. Ping the daemon (never /info, which a single wedged container can block), agree on an API
//     version, and refuse a Podman that answers in Docker's place: it has a collector of its own.
//  2. Open the event stream, so that nothing that happens from here on is lost.
//  3. List images and containers. Images are reported at once with what the list tells.
//  4. Inspect everything, a few at a time. A container is reported when it has been inspected, because a list has no
//     environment; if that takes longer than a moment, with what the list tells for the time being. When all have answered, or after [Options.InitialWait],
//     call Synced.
//  5. Follow the events. Most only say "look again": the container is inspected, at once the first
//     time, then at most once per [Options.Coalesce].
//  6. Compare with the daemon's lists shortly after connecting, every [Options.ResyncEvery], after a prune or a
//     reload, and whenever events were lost.
//
// What it promises:
//
//   - A container is set while it runs, is paused or is restarting, and unset when it has ended; the unset has the exit code
//     and the end's time if anybody knew them. With [Options.KeepStopped] it is set until it is removed.
//   - A container that the events tell of is reported even if it is gone before it can be inspected: its
//     start and its end are then made of what the events carry.
//   - What an inspection finds never overwrites anything newer: see queue.
//   - An inspection that does not answer delays nothing but its own container, which keeps what the list told.
//   - A lost connection unsets nothing. The next run repairs the gap: what has ended meanwhile is unset, with its
//     exit code where the daemon still has it.
//   - Environment variables enter only through the allow-list, see package env.
//
// It talks to the daemon with read-only requests: GET _ping, events, containers/json, containers/<id>/json,
// images/json, images/<id>/json, images/<id>/history. API versions 1.24 to 1.52 are understood.
//
// When this process runs in a container, mount the folder with the socket (/var/run), not the socket: a daemon
// that restarts makes a new socket, and a mounted one stays the old one for ever.
package docker
