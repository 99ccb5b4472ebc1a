// Package cri collects containers and images from any runtime that serves the Kubernetes container
// runtime interface: CRI-O, cri-dockerd, and containerd where it is asked to.
//
// The collector is a [workloadmeta.Puller]. Some runtimes log every call, so that each costs disk
// space, and a pull makes as few as it can:
//
//   - In steady state exactly two: StreamContainers and StreamPodSandboxes, or ListContainers and
//     ListPodSandbox where the runtime has no streaming lists, which is found out once for each of
//     its starts. Containers come first, so that the sandbox of each was there when sandboxes are
//     listed.
//   - A list that is refused for its size is asked for by state, and if a state does not fit, by
//     sandbox, which is done in a tenth of the time at most.
//   - A container that is new or whose entry has changed costs one ContainerStatus. The first one
//     after it has begun to run is verbose: that has its process, cgroup and environment. Its end
//     costs one more, for the exit code.
//   - A sandbox that has got its first container costs one PodSandboxStatus, for addresses and host
//     name.
//   - ListImages once per [Options.ImagePeriod] and when a container of an unknown image shows up;
//     ImageStatus once per image.
//   - Version when the socket is a new one, or after a pull that failed.
//
// What it promises:
//
//   - A container is reported for as long as the runtime lists it, also when it has exited: pods
//     refer to it. Sandboxes never are.
//   - A list that fails, or any part of one, is the pull's error, and the earlier answer stays.
//     Statuses that fail, or
//     do not come within [Options.StatusWait], cost their own container nothing but what only they
//     tell; they are asked for again, ever more rarely.
//   - Environment variables enter only through the allow-list, see package env. Verbose answers
//     hold all of them: they are decoded into types with the needed fields, and nothing else of
//     them is kept or logged.
//
// It speaks version v1 of the interface, which containerd serves since 1.6 and CRI-O since 1.23.
// What is older serves v1alpha2, of which no client is maintained any more: a pull then fails and
// says so.
//
// GetContainerEvents is never called. In containerd 1.7 and in CRI-O before it broadcast events,
// whoever else subscribes takes them away from the kubelet.
//
// A connection lasts for one pull: there is nobody to close it afterwards, a socket that was
// replaced is found without further ado, and it costs less than half a millisecond every five
// seconds (BenchmarkConnection).
//
// What changes without another state is not noticed: resources of a container that is resized in
// place. The kubelet reports those.
//
// When this process runs in a container, mount the folder with the socket, not the socket: a daemon
// that restarts makes a new socket, and a mounted one stays the old one for ever.
package cri
