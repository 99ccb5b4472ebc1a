// Package telemetry shows Prometheus how rollcall is doing.
//
// # Promises
//
//   - Everything is read when it is scraped, from figures the parts keep anyway. A query
//     that finds its entity counts nothing, so metrics cost the query path nothing.
//   - Names and meanings are listed in docs/metrics.md, which a test compares with what is
//     registered here and in package collection.
//   - What a program does not have (no tagger, no collectors) it has no metrics of.
//
// A program without a registry takes [Module]. One that has its own provides it as
// [prometheus.Registerer] and takes [Metrics]. Without fx, register [Store], [Tagger] and
// the supervisor's Metrics wherever you like.
package telemetry
