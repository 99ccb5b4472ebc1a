// Package runtimesync keeps a sink up to date with what one container runtime runs. A collector of
// a runtime that tells of changes by events brings a [Client], which speaks the runtime's language,
// and a [Syncer] does what is the same for all of them. One connection goes like this:
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
//     asks for it, and whenever events were lost: at once, and again after [Tuning.SettleResync].
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
//
// Two things a runtime does not let anybody know. Where its lists do not tell when a container was
// started, an end and a start of which both events are lost without a word are not seen. And while
// its clock is being set back, the time of an event does not tell which life of a container it is
// of; what is reported then may be wrong until the next inspection.
//
// # How it works
//
// A machine decides: it takes one input after the other with the time, and returns what to do. It
// has no goroutine, no clock and no I/O, so that TestMachineModel can play years of a runtime's
// misfortunes against it in a second. A driver does: it owns the goroutines that read events and
// make requests, the timer and the sink.
//
//	inputs                                    outputs
//	connected      the event stream is open   request  inspect, list or ping; one answer follows
//	told           events                     report   sets and unsets, as one change
//	lost           events are missing         synced   everything there was has been reported
//	answer         of a request, or its error fail     give the connection up
//	tick           the time asked for         note     for the log
//	disconnected   nothing more will come
//
// A connection has these phases:
//
//	offline     there is none
//	listing     the first list is on its way; events wait for it
//	catchingUp  what the list has is being inspected
//	live        Synced
//
// And a container these; "reported" means over this connection:
//
//	phase      is                                  waits for                  and if that does not come
//	created    not started, as far as is known     its start
//	starting   running and not reported            its inspection, 250 ms     reported as the event or list tells
//	returning  reported by an earlier connection,  its inspection, to Synced  reported as the list tells
//	           and in the first list
//	reported   reported
//	ending     said to have ended                  its inspection, 1 s        its end, or "restarting" by its policy
//	unlisted   in no list any more                 its inspection             if that fails, or at Synced: its end
//	gone       unknown to the runtime              the event of its end, 5 s  its end without a code
//	duplicate  under another's ID                  the other's end
//	excluded   a pause container                   its end
package runtimesync
