// Package podresources collects which devices the kubelet has given to the node's containers: those
// of device plugins, such as GPUs and slices of them, those of dynamic resource allocation, and
// exclusive CPUs.
//
// The kubelet's PodResources API names pods by namespace and name, and containers by their names in
// the pod; it knows no UIDs and no IDs. The pods of the store say which containers these are. What
// the collector promises:
//
//   - It reports a container that a pod in the store lists, and of it nothing but its devices.
//     Nobody waits for such a report, and it does not outlive the container.
//   - A pod that the API does not list is no evidence: it may have ended, or the kubelet has just
//     started. What was known of it stays for as long as the store has it.
//   - Where two pods share a name, in the API or in the store, as one that is replaced and its
//     successor do, neither is told anything. A list says nothing of pods that are first seen after
//     it was asked for. A container's devices are replaced when two lists in a row have the same
//     others instead: then one of them was about another pod. Nothing else takes them away.
//   - The API has no watch. It is asked every [Options.Period], and at once when a container shows
//     up that asks for devices which are not known, then ever more rarely until they are.
//   - A kubelet that is frozen or away holds up nothing but news of devices.
package podresources
