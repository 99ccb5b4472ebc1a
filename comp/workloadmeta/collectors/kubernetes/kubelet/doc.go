// Package kubelet reports the pods of a node and their containers, as its kubelet knows them.
//
// It asks the kubelet's Pods API first, which tells of changes at once (Kubernetes 1.37, root
// only), and beside its watch the list of the same API every few seconds: a change of labels or
// annotations alone is in the list only. Where there is no such API it asks /pods over HTTPS, and
// where the kubelet may not be asked at all, if that is wanted, the API server for the pods of the
// node. It falls back from the one to the other by itself, and comes back; status says which of
// them is used, and why a better one is not.
//
// What the kubelet does not say is rarely evidence. One that starts shows no pods at first, then
// static pods only; one that cannot reach the API server says nothing of pods at all; a pod that
// is deleted by force leaves its lists while the containers still run. [tracker] holds the rules,
// without I/O and clock, so that they are tested with recordings of real kubelets.
//
// Metadata of pods in the answers of one kubelet is partly frozen: owner references and the
// resource version are those of first sight until it restarts. Of both copies of a pod the API
// server's is newer, and counts more where a collector reports it.
package kubelet
