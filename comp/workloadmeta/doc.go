// Package workloadmeta is the vocabulary of "what is running here": the
// entities, the events about them, the filters on those events, and the
// contracts between collectors, the store and its readers.
//
// It imports the standard library only, so that a program can name these types
// without linking a container runtime or a Kubernetes client.
//
// # Promises
//
//   - An [Entity] is immutable from the moment it is handed over. Readers share
//     pointers and must not write through them; to change an entity, build a new one.
//   - Several sources may report one entity. The store keeps each source's view
//     and publishes one merged entity; which source wins for which field is
//     written down in precedence.go.
//   - Writers call [Writer.Notify], which is synchronous: when it returns,
//     readers see the change. It never waits for a subscriber.
//   - Readers use [Component]: look-ups that never scan, and subscriptions that
//     start with a snapshot and continue with every later change.
//
// The store itself is in package store, the supervisor of collectors in package
// collection.
package workloadmeta
