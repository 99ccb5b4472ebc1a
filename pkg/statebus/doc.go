// Package statebus is a table of key → immutable value that tells its
// subscribers what changed. One committer works at a time, readers take no
// lock, and no subscriber can slow down a committer or another subscriber.
//
// What the package promises:
//
//  1. Snapshot, then changes, without a gap or a duplicate. Subscribe fixes a
//     revision R. The first bundle holds every matching value exactly as it was
//     at R, and is sent even if there is none; every later bundle holds changes
//     after R. Whatever is committed after Subscribe returned is delivered, even
//     a key that came and went before the consumer's first loop. Taking the
//     snapshot blocks no committer.
//
//  2. The committer never waits. Each subscription has its own mailbox; a
//     stalled one costs the others nothing.
//
//  3. Nobody is thrown out and nothing final is lost. A subscriber that keeps up
//     sees every change. For one that lags, the changes of each key are merged,
//     in order: set+set is the last set; set+unset is the unset, which carries
//     the last full value, even of a key the subscriber never saw; unset+set
//     stays two events; unset+set+unset is the last unset. A mailbox is bounded:
//     after merging it holds at most two events for each key that is live or
//     known to the subscriber, and [Options.MaxTombstones] unsets of keys it
//     never saw, of which the oldest are dropped and counted.
//
//  4. Tiers. A [Second] tier subscriber is handed a change only after every
//     [First] tier subscriber that takes this change has finished the bundle
//     with it, and whatever it was given before, or after
//     [Options.TierDeadline], counted from the moment the second asked for it. A
//     first-tier subscriber that let a deadline pass is
//     late, and delays nobody until it has caught up: until it finishes a bundle
//     with nothing left in its mailbox, or one it took while late within the
//     deadline. One that appears later does not delay what was committed before.
//     The snapshot of a second-tier subscriber waits in the same way for the
//     first-tier subscribers that were there before it, their snapshots included.
//
//  5. Filters run before the mailbox. A value that stops matching arrives as an
//     unset with the last matching value, one that begins to match as a set.
//
//  6. Consumption is a loop, and finishing the loop's body acknowledges the
//     bundle, as below.
//
//  7. Resume. A table with a log ([Options.LogChanges]) gives a subscriber that was
//     away the changes after the revision it has seen ([SubOptions.Since]), as its
//     filter would have seen them then; if the log does not go back so far, or the
//     revision is another table's, it gets a snapshot, which says that it is one.
//
// A filter that panics or ends its goroutine ends its own subscription and nothing
// else.
//
// A consumer is:
//
//	for bundle := range sub.Bundles(ctx) {
//		for _, ev := range bundle.Events {
//			// ...
//		}
//	}
//
// What it does not promise: the order of the events in a snapshot; that two
// subscribers see the same bundles; that the keys of a lagging subscriber arrive
// in the order in which they first changed (they arrive in the order in which
// they last did, so revisions never go back within a subscription).
//
// Values are shared between the table, its readers and its subscribers, and must
// not be changed once they are handed over.
//
// # How it works
//
// Each value lies in a lock-free map (package singlewriter) with the revision that wrote it. A
// snapshot walks this map with no lock and ignores what is newer than R; for as
// long as it is not finished, the committer puts aside for it the value at R of
// each key that changes. A mailbox is a slice under a short mutex, swapped with
// an empty one when the consumer comes for it, and the consumer is woken only if
// it sleeps. Events are merged only in a mailbox that has grown long, a few at each
// commit, so the cost per event is constant and a subscriber that keeps up never
// pays it.
package statebus
