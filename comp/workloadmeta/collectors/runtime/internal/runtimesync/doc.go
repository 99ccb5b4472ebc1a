// Package runtimesync keeps a sink up to date with what one container runtime runs. A collector of a
// runtime that tells of changes by events brings a [Backend], which speaks the runtime's language,
// and a [Follower] does what is the same for all of them. One connection goes like this:
//
//  1. Open the event stream, so that nothing that happens from here on is lost.
//  2. List images and containers. What the list tells whole is reported at once.
//  3. Inspect the rest, a few at a time. A container is reported when it has been inspected,
//     because a list may have no environment; if that takes longer than a moment, with what the
//     list tells for the time being. When all have answered, or after [Tuning.InitialWait], call
//     Synced.
//  4. Follow the events. Most only say "look again": the container is inspected, at once the first
//     time, then at most once per [Tuning.Coalesce].
//  5. Compare with the lists shortly after connecting, every [Tuning.ResyncEvery], when an event
//     asks for it, and whenever events were lost.
//
// What it promises:
//
//   - A container is set while it runs, is paused or is restarting, and unset when it has ended;
//     the unset has the exit code and the end's time if anybody knew them. A container to be kept
//     ([Options.KeepStopped], [Container.Keep]) is set until it is removed.
//   - A container that the events tell of is reported even if it is gone before it can be
//     inspected: its start and its end are then made of what the events carry.
//   - What an inspection finds never overwrites anything newer: see queue.
//   - An inspection that does not answer delays nothing but its own container, which keeps what the
//     list told.
//   - A lost connection unsets nothing. The next one repairs the gap: what has ended meanwhile is
//     unset, with its exit code where the runtime still has it.
//   - A stream that stays open but silent while the runtime does not answer pings is given up: see
//     [Tuning.PingEvery].
//   - An image that a container was started from is its image for good, whatever its names come to
//     mean.
//   - Of two containers with one ID, in different namespaces of the runtime, the first is reported;
//     when it has gone, the other.
package runtimesync
