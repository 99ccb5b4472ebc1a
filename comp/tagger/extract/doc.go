// Package extract turns entities of the workloadmeta store into tags.
//
// It is pure: the same entity, the same entities around it and the same options
// give the same tag infos, to the byte. There is no I/O and no clock here.
//
// # What comes out
//
// One entity gives several tag infos ([Extractor.Extract]): first the one about
// itself, then those about its containers, for a pod or a task, then one about
// [tagger.GlobalEntityID]. All of one call carry one source, "workloadmeta-" and the
// text form of the entity's kind. An entity whose tags are all gone gives an info
// with empty lists, so that what its source said before is replaced by nothing.
//
// # Tags
//
// A tag is "name:value". Several values of one name live side by side; within a level
// of cardinality the same tag is there once. An empty name or an empty value makes no
// tag, which is why "if present" is not repeated anywhere. Nothing is trimmed, and no
// case is changed, unless the tag's [Definition] says so.
//
// Nothing overrides anything here. Which source wins for a name that several know is
// decided where tag infos meet, by [tagger.SourcePriority].
//
// # Rules
//
// What users want of labels, annotations, variables and tags is a list of rules
// ([Options.Rules], package rules). Options that map keys to tag names are translated
// into such rules ([Options.TagRules]). Rules are applied here, while tags are made:
// what comes after knows nothing of them.
//
// # Where tags come from
//
// Each built-in tag has a [Definition], listed in one table. [Extractor.Explain] makes
// the same tags and keeps with each the definition and the field it was made from;
// Extract itself does not pay for that.
package extract
