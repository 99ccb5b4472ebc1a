// Package collection runs collectors: it finds out which of them have something to
// collect here, keeps them running, and turns what they report into changes of the
// store. Collectors stay small because everything they have in common is here.
//
// # Promises to whoever starts it
//
//   - [Supervisor.Start] never waits for a network. [Supervisor.Stop] cancels
//     everything and waits until every goroutine has returned.
//   - A collector that finds nothing waits, says why, and is asked again: a runtime
//     that is installed later is found. That is not an error and is not logged as one.
//   - A collector that fails is tried again for ever, at growing intervals with jitter,
//     unless it says that trying again is pointless ([Permanent]). What it reported
//     stays in the store meanwhile.
//   - A panic in a call to a collector is that collector's error, with its stack in the
//     log. (A panic in a goroutine the collector started itself cannot be caught here.)
//   - The store is marked synced once every collector has listed once, or has nothing
//     to list, or is known to fail, or after [Options.SyncGrace].
//
// # Promises to collectors
//
//   - Mark and sweep: what a collector reported earlier and does not report in a full
//     list is unset when that list is finished, and not before. A stream's list is
//     finished by [workloadmeta.Sink.Synced]; a pull is a full list if it returns nil. A
//     list that is not finished removes nothing.
//   - A collector removes only what it has reported itself. What becomes of an entity that
//     several collectors report is the store's business: [workloadmeta.Merge].
//   - What a pull or a fetch has found is not used for entities of which there is newer news:
//     reported or withdrawn by the collector's stream, or seen ending by anybody since.
//   - Calls of one mode never overlap. A collector with both Stream and Pull has both run
//     side by side over one set of reported entities: the stream tells what is new, the
//     pull repairs. Where they disagree about something that changed during the pull,
//     the stream wins.
//   - A reused process ID needs no care: the store sees by the start time that it names
//     another process ([workloadmeta.SameIncarnation]) and tells of an end and a start. A
//     list that has the new process only is enough.
package collection
