// Package origin finds out who sent a piece of telemetry, from what its receiver knows about
// the sender.
package origin

import (
	"fmt"
	"iter"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Index is what must be known of the machine's workloads. [workloadmeta.Component] has it.
type Index interface {
	// GetKubernetesPod finds a pod by any of its UIDs.
	GetKubernetesPod(uid string) (*workloadmeta.KubernetesPod, error)
	// ContainerForPID finds the container of a process.
	ContainerForPID(pid int) (*workloadmeta.Container, error)
	// ContainerForInode finds the container that runs in a cgroup.
	ContainerForInode(inode uint64) (*workloadmeta.Container, error)
}

// Candidates yields who may have sent a piece of telemetry, the most trusted first: the container
// of the socket's peer, the container the client names, the process it names, the cgroup it names,
// the container of the pod it names, the pod itself. What the index does not know may be there all
// the same.
func Candidates(index Index, o tagger.OriginInfo) iter.Seq[tagger.EntityID] {
	return func(yield func(tagger.EntityID) bool) {
		container := func(id string) bool { return id == "" || yield(tagger.Container(id)) }
		pod := func(uid string) bool { return uid == "" || yield(podEntity(index, uid)) }
		if !container(o.ContainerIDFromSocket) || !container(o.LocalData.ContainerID) {
			return
		}
		if pid := o.LocalData.ProcessID; pid != 0 {
			if c, err := index.ContainerForPID(int(pid)); err == nil && !container(c.ID) {
				return
			}
		}
		if inode := o.LocalData.Inode; inode != 0 {
			c, err := index.ContainerForInode(inode)
			if err == nil && !container(c.ID) {
				return
			}
		}
		if id, err := ContainerOf(index, o.ExternalData); err == nil && !container(id) {
			return
		}
		_ = pod(o.PodUID) && pod(o.ExternalData.PodUID) && pod(o.LocalData.PodUID)
	}
}

// podEntity is the pod as the tags know it: a static pod has two UIDs.
func podEntity(index Index, uid string) tagger.EntityID {
	if pod, err := index.GetKubernetesPod(uid); err == nil {
		uid = pod.ID
	}
	return tagger.KubernetesPod(uid)
}

// Container returns the ID of the first candidate that is a container.
func Container(index Index, o tagger.OriginInfo) (string, error) {
	for id := range Candidates(index, o) {
		if id.Prefix() == tagger.PrefixContainer {
			return id.ID(), nil
		}
	}
	return "", fmt.Errorf("container of origin %+v: %w", o, tagger.ErrUnknown)
}

// ContainerOf returns the ID of a container by its name and its pod's UID.
func ContainerOf(index Index, e tagger.ExternalData) (string, error) {
	if e.PodUID == "" || e.ContainerName == "" {
		return "", tagger.ErrUnknown
	}
	unknown := func() error {
		return fmt.Errorf("container %s of pod %s: %w", e.ContainerName, e.PodUID,
			tagger.ErrUnknown)
	}
	pod, err := index.GetKubernetesPod(e.PodUID)
	if err != nil {
		return "", unknown()
	}
	lists := [][]workloadmeta.OrchestratorContainer{pod.Containers, pod.EphemeralContainers}
	if e.Init {
		lists = [][]workloadmeta.OrchestratorContainer{pod.InitContainers}
	}
	for _, list := range lists {
		for i := range list {
			if list[i].Name == e.ContainerName && list[i].ID != "" {
				return list[i].ID, nil
			}
		}
	}
	return "", unknown()
}
