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
// # Header
//
// The first line may say under which configuration the recording was made, as far as tags
// depend on it: each option under its name, as it stands in a configuration file, in JSON.
//
//	{"recording":{"version":1,"made_by":"rollcall 1.4.0","time":"2026-01-02T15:04:05Z","config":{"rules":[{"drop":"image_id"}]}}}
//
// A recording without a header is read, too. One of a newer version is refused.
//
// # Promises
//
//   - Whoever applies a recording's events in order has, after the last line, exactly
//     the entities that the recorded store had, also if the recorder lagged.
//   - Every entity has a form, and no entity ends a recording.
//   - Only whole lines are written. A last line that is cut off all the same ends the
//     recording, and everything before it counts.
//   - The same lines are written as the same bytes.
//   - A line that cannot be read is named with its file, number and field. Fields this
//     version does not know are skipped, and counted so that they can be reported.
package recording
