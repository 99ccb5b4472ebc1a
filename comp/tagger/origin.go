package tagger

// OriginInfo is what a receiver of telemetry knows about the sender. Everything but
// ContainerIDFromSocket is a claim of the client.
type OriginInfo struct {
	// ContainerIDFromSocket is the container of the peer, as the kernel names it.
	ContainerIDFromSocket string
	LocalData             LocalData
	ExternalData          ExternalData
	// PodUID is the pod the client says it runs in ("entity ID" of the DogStatsD
	// protocol). [EntityNone] opts out of origin tags, but not of global ones.
	PodUID string
	// Cardinality as the client asks for it; "" or anything invalid is the tagger's
	// default. "none" opts out of all tags.
	Cardinality string
}

// EntityNone as a pod UID opts out of origin tags.
const EntityNone = "none"

// LocalData is what a client can see of itself.
type LocalData struct {
	ProcessID   uint32 // as the host sees it; 0 = not given
	ContainerID string
	Inode       uint64 // of the client's cgroup directory; 0 = not given
	PodUID      string
}

// ExternalData is what an admission webhook told the client about itself.
type ExternalData struct {
	Init          bool // it runs in an init container
	ContainerName string
	PodUID        string
}
