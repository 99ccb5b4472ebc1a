package cri

import (
	"cmp"
	"maps"
	"net/netip"
	"strconv"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
	"github.com/rollcall-dev/rollcall/pkg/image"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// signature is what of a container's entry in the list tells that there is news in its status.
type signature struct {
	state    runtimeapi.ContainerState
	created  int64
	imageRef string
	restarts string
}

// container is what is known of a container from one pull to the next.
type container struct {
	id      string
	pull    uint64 // the last pull that listed it
	sandbox bool   // it says that it is one
	listed  listed
	status  *containerStatus // the last answer; nil = none yet
	// answered is the signature to which status is the answer.
	answered signature
	detail   *detail // nil = not asked for yet
	tries    tries
	entity   *workloadmeta.Container // the last one that was made
	// shared is what entity says of its image, once for all containers that were made of it.
	shared mapping.SharedImage
	// imageLabels are those of the image it was started from, which every other interface gives to
	// the container.
	imageLabels map[string]string
	reported    bool
}

// listed is a container's entry in the list.
type listed struct {
	signature
	sandbox     string
	name        string
	image       imageNames
	labels      map[string]string
	annotations map[string]string
	ports       []workloadmeta.ContainerPort
	restarts    int
}

// imageNames are the ways in which a runtime names a container's image.
type imageNames struct {
	name    string // a reference, or the image's ID
	asked   string // the reference that the user gave
	ref, id string
}

// containerStatus is the answer to ContainerStatus, without what the list has told.
type containerStatus struct {
	state                      runtimeapi.ContainerState
	created, started, finished time.Time
	exitCode                   *int64
	oom                        bool
	image                      imageNames
	limits                     *mapping.Limits
}

// take notes the container's entry in the list. Nothing of it but its signature ever changes.
func (k *container) take(in *runtimeapi.Container) {
	s := signature{in.GetState(), in.GetCreatedAt(), in.GetImageRef(),
		in.GetAnnotations()[mapping.AnnotationRestarts]}
	if k.pull != 0 && s == k.listed.signature {
		return
	}
	k.listed = listed{
		signature: s,
		sandbox:   in.GetPodSandboxId(),
		name:      in.GetMetadata().GetName(),
		image: imageNames{in.GetImage().GetImage(), in.GetImage().GetUserSpecifiedImage(),
			in.GetImageRef(), in.GetImageId()},
		labels:      mapping.NilIfEmpty(mapping.Metadata(in.GetLabels())),
		annotations: mapping.NilIfEmpty(mapping.Metadata(in.GetAnnotations())),
		ports:       mapping.KubernetesPorts(in.GetAnnotations()[mapping.AnnotationPorts]),
		restarts:    int(in.GetMetadata().GetAttempt()),
	}
	if n, err := strconv.Atoi(s.restarts); err == nil && n >= 0 {
		k.listed.restarts = n
	}
	k.sandbox = isSandbox(k.listed.labels)
}

// wants reports whether there is something to ask for.
func (k *container) wants() bool {
	return !k.sandbox && (k.status == nil || k.answered != k.listed.signature || k.wantsDetail())
}

// wantsDetail reports whether the status has to be verbose. Before it runs a container has no
// process, and what was asked for would have to be asked for again.
func (k *container) wantsDetail() bool {
	return k.detail == nil &&
		(k.listed.state == runtimeapi.ContainerState_CONTAINER_RUNNING ||
			k.listed.state == runtimeapi.ContainerState_CONTAINER_EXITED)
}

// answer notes an answer, which is newer than the list.
func (k *container) answer(s containerStatus, known *detail) {
	k.listed.state = s.state
	k.status, k.answered = &s, k.listed.signature
	if known != nil {
		k.detail = known
	}
}

// unknownExitCode is what containerd's CRI plugin gives, with the reason "Unknown", for a container
// that ended while it was away and that left no trace (internal/cri/server/restart.go of
// containerd). CRI-O gives -1.
const unknownExitCode = 255

func readStatus(in *runtimeapi.ContainerStatus) containerStatus {
	s := containerStatus{
		state:   in.GetState(),
		created: nanoTime(in.GetCreatedAt()),
		started: nanoTime(in.GetStartedAt()),
		image: imageNames{in.GetImage().GetImage(), in.GetImage().GetUserSpecifiedImage(),
			in.GetImageRef(), in.GetImageId()},
	}
	if s.state == runtimeapi.ContainerState_CONTAINER_EXITED {
		s.finished = nanoTime(in.GetFinishedAt())
		s.oom = in.GetReason() == "OOMKilled"
		if code := int64(in.GetExitCode()); code >= 0 &&
			!(code == unknownExitCode && in.GetReason() == "Unknown") {
			s.exitCode = &code
		}
	}
	if l := in.GetResources().GetLinux(); l != nil {
		s.limits = &mapping.Limits{
			Quota: l.GetCpuQuota(), Period: l.GetCpuPeriod(), Shares: weight(l.GetCpuShares()),
			Cpuset: l.GetCpusetCpus(),
			Memory: l.GetMemoryLimitInBytes(),
		}
	}
	return s
}

func weight(shares int64) uint64 { return uint64(max(shares, 0)) }

// nanoTime reads nanoseconds since 1970. Zero is no time, and less is what Go makes of its own zero
// time.
func nanoTime(n int64) time.Time {
	if n <= 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// build makes an entity of what is known, without its image. sandbox is nil if it is not listed any
// more.
func (k *container) build(runtime workloadmeta.ContainerRuntime, s *sandbox,
	procRoot string) *workloadmeta.Container {
	e := mapping.NewContainer(k.id, runtime)
	e.Name = k.listed.name
	e.Labels, e.Annotations, e.Ports, e.RestartCount = k.listed.labels, k.listed.annotations,
		k.listed.ports, k.listed.restarts
	e.Namespace = k.listed.labels[mapping.LabelPodNamespace]
	e.Owner = mapping.Owner(k.listed.labels)
	k.buildState(e)
	if d := k.detail; d != nil {
		e.EnvVars, e.Hostname, e.SecurityContext, e.RuntimeFlavor = d.env, d.hostname, d.security,
			mapping.Flavor(d.runtimeType)
		if e.State.Running {
			e.PID, e.CgroupPath = d.pid, k.cgroup(procRoot)
			if e.PID != 0 {
				e.CgroupInode = cgroup.Inode(procRoot, e.CgroupPath)
			}
		}
	}
	e.Resources = k.resources()
	k.devices(e)
	if s == nil {
		return e
	}
	e.Namespace = cmp.Or(s.namespace, e.Namespace)
	if e.Owner == nil && s.uid != "" {
		e.Owner = &workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: s.uid}
	}
	if flavor := mapping.Flavor(s.handler); flavor != workloadmeta.FlavorDefault {
		e.RuntimeFlavor = flavor
	}
	if s.status == nil {
		return e
	}
	e.Hostname = cmp.Or(e.Hostname, s.status.hostname)
	// else its addresses may be somebody else's, or belong to the others of the pod
	if s.ready && e.State.Status != workloadmeta.StatusStopped {
		e.NetworkIPs, e.NetworkIPv6s = s.status.ips, s.status.ipv6s
	}
	return e
}

func (k *container) devices(e *workloadmeta.Container) {
	var asked []string
	if k.detail != nil {
		asked = k.detail.devices
	}
	mapping.SetDevices(e, "", asked...) // all are in pods
}

// end returns the last view of a container that the runtime has forgotten. If it was last seen
// running, then how it ended will never be known, but it does not run.
func (k *container) end() *workloadmeta.Container {
	if !k.entity.State.Running {
		return k.entity
	}
	e := *k.entity
	e.State.Running, e.State.Status = false, workloadmeta.StatusStopped
	e.PID, e.CgroupInode = 0, 0
	return &e
}

// buildState takes the state from the list if it tells something newer than the last status.
func (k *container) buildState(e *workloadmeta.Container) {
	st := &e.State
	st.CreatedAt = nanoTime(k.listed.created)
	if k.status != nil {
		if st.CreatedAt.IsZero() {
			st.CreatedAt = k.status.created
		}
		st.StartedAt = k.status.started
		if k.answered == k.listed.signature {
			st.FinishedAt, st.ExitCode, st.OOMKilled = k.status.finished, k.status.exitCode,
				k.status.oom
		}
	}
	switch k.listed.state {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		st.Status = workloadmeta.StatusCreated
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		st.Status, st.Running = workloadmeta.StatusRunning, true
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		st.Status = workloadmeta.StatusStopped
	default:
		st.Status = workloadmeta.StatusUnknown
	}
}

// cgroup returns the path that the runtime has told, or else the one that the kernel does.
func (k *container) cgroup(procRoot string) string {
	if k.detail.cgroup == "" && !k.detail.looked && k.detail.pid > 0 {
		k.detail.cgroup = mapping.CgroupPath(procRoot, k.detail.pid, k.id)
		k.detail.looked = true
	}
	return k.detail.cgroup
}

// resources prefers what the status says to what the container was made with. A reservation of
// memory is in the latter only.
func (k *container) resources() workloadmeta.ContainerResources {
	var l mapping.Limits
	if k.detail != nil {
		l = k.detail.limits
	}
	if k.status != nil && k.status.limits != nil {
		reservation := l.MemoryReservation
		l = *k.status.limits
		l.MemoryReservation = reservation
	}
	return l.Resources()
}

// image returns the container's image. Runtimes name it in three ways: by the ID of the image (the
// digest of its configuration), by the digest of a repository, which is another number, and by a
// reference.
func (k *container) image(known *images) workloadmeta.ContainerImage {
	given := []imageNames{k.listed.image}
	if k.status != nil {
		given = []imageNames{k.status.image, k.listed.image}
	}
	id := known.idOf(given)
	var raw, digest string
	if k.detail != nil {
		raw = k.detail.imageAsked
	}
	for _, n := range given {
		raw = cmp.Or(raw, n.asked)
		digest = cmp.Or(digest, image.RepoDigest(n.ref))
	}
	for _, n := range given {
		if !mapping.NamesID(n.name, id) {
			raw = cmp.Or(raw, n.name)
		}
	}
	raw = cmp.Or(raw, given[0].name, id)
	names := known.names(id)
	out := mapping.ResolveImage(id, raw, names)
	out.RepoDigest = cmp.Or(digest, out.RepoDigest)
	if k.entity == nil || k.entity.Image.ID != id || k.entity.Image.RawName != raw {
		return out
	}
	// An image that has lost its names is still the one that the container was started from.
	last := k.entity.Image
	if mapping.NamesID(raw, id) && (names == nil || names.Reference() == "") {
		return last
	}
	if out.RepoDigest == "" && out.Name == last.Name {
		out.RepoDigest = last.RepoDigest
	}
	return out
}

// withImageLabels gives the container the labels of its image, as Docker, Podman and containerd do:
// the CRI leaves them out. The container's own win.
func (k *container) withImageLabels(known *images, e *workloadmeta.Container) {
	if i := known.known[e.Image.ID]; i != nil && i.detail != nil {
		k.imageLabels = i.detail.labels
	}
	if len(k.imageLabels) == 0 {
		return
	}
	all := mapping.Metadata(k.imageLabels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, e.Labels)
	e.Labels = all
}

// sandbox is what is known of a pod's sandbox.
type sandbox struct {
	pull                    uint64
	used                    bool // by a container of the list
	ready                   bool
	namespace, uid, handler string
	status                  *sandboxStatus // nil = not asked for yet
	tries                   tries
}

// sandboxStatus is what only PodSandboxStatus tells.
type sandboxStatus struct {
	hostname   string
	ips, ipv6s map[string]string
}

// networkName is the name of the only network that a pod is known to have.
const networkName = "pod"

func (s *sandbox) take(in *runtimeapi.PodSandbox) {
	s.ready = in.GetState() == runtimeapi.PodSandboxState_SANDBOX_READY
	s.namespace, s.uid, s.handler = in.GetMetadata().GetNamespace(), in.GetMetadata().GetUid(),
		in.GetRuntimeHandler()
}

// wants reports whether the sandbox has to be asked for. One that is not ready has no addresses any
// more.
func (s *sandbox) wants() bool { return s.used && s.ready && s.status == nil }

func readSandboxStatus(in *runtimeapi.PodSandboxStatusResponse) sandboxStatus {
	var info struct {
		Config struct {
			Hostname string `json:"hostname"`
		} `json:"config"`
		RuntimeSpec struct {
			Hostname string `json:"hostname"`
		} `json:"runtimeSpec"`
	}
	_ = readInfo(in.GetInfo(), &info) // without it the host name is not known
	out := sandboxStatus{hostname: cmp.Or(info.Config.Hostname, info.RuntimeSpec.Hostname)}
	status := in.GetStatus()
	namespaces := status.GetLinux().GetNamespaces().GetOptions()
	if namespaces.GetNetwork() == runtimeapi.NamespaceMode_NODE {
		return out // an address of the machine is not the pod's
	}
	addresses := []string{status.GetNetwork().GetIp()}
	for _, ip := range status.GetNetwork().GetAdditionalIps() {
		addresses = append(addresses, ip.GetIp())
	}
	for _, address := range addresses {
		ip, err := netip.ParseAddr(address)
		if err != nil {
			continue
		}
		ip = ip.Unmap()
		to := &out.ips
		if ip.Is6() {
			to = &out.ipv6s
		}
		if (*to)[networkName] == "" {
			mapping.Put(to, networkName, ip.String())
		}
	}
	return out
}
