// Package object holds the parts of Kubernetes' objects that rollcall reads, and decodes them from
// both of their encodings.
//
// An object is decoded straight into these types. What they do not have, such as managedFields, the
// largest part of many objects, is skipped and never allocated. A type has the names of the fields
// in JSON and their numbers in protocol buffers, side by side, so that both encodings of an object
// give the same value. Names and numbers are those of k8s.io/api, in its files generated.proto; a
// test compares every field with the types that are generated from them.
package object
