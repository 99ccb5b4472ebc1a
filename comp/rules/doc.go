// Package rules is the one grammar by which users say which containers count and what
// tags are made of what runs.
//
// # The list
//
// A [Set] is an ordered list of rules that is compiled once and never changes. A rule has
// one action and says when it applies. For each question the last rule that applies wins,
// and nothing is chained:
//
//   - Is a container left out? The last of the exclude and include rules that applies to
//     it, and without one it is not ([Set.Why]).
//   - Which tags does a label, annotation or variable make? Each tag rule that applies and
//     names another tag makes one; of those that make the same tag of the same key the last
//     one counts ([Table.Match]).
//   - What becomes of a tag? The last drop or keep rule for its name says whether it is
//     made, the last rename rule what it is called, the last cardinality rule at which
//     level it is. All three look at the name the tag was made under ([Set.Effect]).
//
// # Options are rules
//
// The options that came before the rules are translated: lists of filters by [Translate],
// maps of labels to tags by the package that makes tags. What rollcall does by itself is
// in the list as well ([PodAnnotations], [Pause]). There is no second mechanism.
//
// # Conditions
//
// A condition looks at the entity that a tag is made from, which for a tag that a container
// has from its pod is the pod. Namespace, labels and annotations of a container are its own;
// where it has none, those of its pod. A value that is not there is matched by "" and by
// nothing else, not even by "*".
package rules
