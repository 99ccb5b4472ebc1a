// Package podmap makes entities of pods, whoever has told of them: the kubelet's Pods API, its
// /pods, or the API server. One pod gives the same entities from all three, but for what only one
// of them knows: a static pod has a mirror in the API server with a UID of its own, the kubelet's
// copy keeps the owners and the resource version that it saw first, and its status may be ahead.
//
// What is wanted (spec) and what is observed (status) of a container are joined by its name.
package podmap
