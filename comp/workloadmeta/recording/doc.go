// Package recording writes down what sources reported, and reads it again.
//
// A recording is a text file in JSON Lines: one event per line, in the order in which
// they became true. What is there when the recording begins comes first, as sets.
//
//	{"time":"2026-01-02T15:04:05.000000006Z","type":"set","source":"runtime","entity":{"kind":"container","id":"4f6…","name":"web"}}
//	{"time":"2026-01-02T15:05:00Z","type":"unset","source":"runtime","entity":{"kind":"container","id":"4f6…","state":{"exit_code":0}}}
//
// "time" is optional and in RFC 3339; "op" is accepted for "type"; the entity has the
// form described at [workloadmeta.UnmarshalEntity], and that of an unset carries what
// was known at the end. Empty lines are skipped, and so is a byte order mark.
//
// # Promises
//
//   - Whoever applies a recording's events in order has, after the last line, exactly
//     the views that the recorded store had, source by source.
//   - The same lines are written as the same bytes.
//   - A line that cannot be read is named with its file, number and field. Fields this
//     version does not know are skipped, and counted so that they can be reported.
package recording
