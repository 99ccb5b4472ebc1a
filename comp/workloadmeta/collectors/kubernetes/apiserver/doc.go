// Package apiserver reports what a Kubernetes API server knows: namespaces, nodes, deployments,
// pods, services with the pods behind them, what autoscalers scale, and the metadata of any other
// resource that is asked for.
//
// Each resource is followed by itself, with one watch: one that is forbidden, or not served, is a
// part of the collector in status, and keeps none of the others back. What was reported stays while
// the server cannot be reached. On a node nothing is followed unless it is asked for, and pods and
// the node are those of the node alone. ReplicaSets are never listed: a Deployment is known from
// the names and labels of its pods.
//
// Only what is reported is kept, once: a pod has no containers here, and its strings are those of
// its siblings.
package apiserver
