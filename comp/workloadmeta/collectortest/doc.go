// Package collectortest is for the tests of collectors, and of code that follows what they report:
//
//   - [NewEngine] runs collectors as a program does, under the supervisor and with a store, and
//     shows what the store has, what subscribers are told, and how each collector is doing.
//   - [NewFake] returns a collector whose source is in the test's hands: it loses its connection,
//     is not there, does not answer, and comes back.
//   - [Golden] compares what a collector makes of something with a file, [Read] reads what a real
//     source has answered, and [Recorder] saves that.
//   - [Daemon] is what fakes of daemons with an HTTP interface have in common, and [Serve] lets
//     them answer at a socket, or at a [Pipe], which works inside a synctest bubble.
//   - [World] remembers each single report of a Stream that [Start] runs alone, for tests of the
//     way to a state; what it says that a store would have is what the store has.
//
// docs/testing.md shows how to use them. The package links package testing and defines the flags
// -record and -update: only tests may import it.
package collectortest
