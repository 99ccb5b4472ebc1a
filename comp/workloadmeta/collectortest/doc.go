// Package collectortest is for the tests of the collectors of container runtimes, and for nothing
// else: it holds what each of them would otherwise have a copy of.
//
//   - [World] stands in for the store. It takes what a collector reports as package collection does
//     and remembers all of it, so that a test can ask for the state as well as for the way there.
//     [Start] runs a collector's Stream.
//   - [Daemon] is what fakes of daemons with an HTTP interface have in common, and [Serve] lets
//     them answer at a socket, or at a [Pipe], which works inside a synctest bubble.
//   - [Recorder] saves what a real daemon answers in testdata, [Read] reads it again, and [Golden]
//     compares what becomes of it.
//
// It links package testing and defines the flags -record and -update: only tests may import it.
package collectortest
