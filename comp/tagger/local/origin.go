package local

import (
	"fmt"
	"os"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// EnrichTags implements [tagger.Component].
//
// The first of these that has tags counts: the container of the socket's peer, the
// container the client names, the process it names, the container of the pod it names,
// the pod itself. Adding up several would mix the tags of different workloads as soon as
// one claim is wrong. Global tags come last, always, unless the client asks for none.
func (t *Tagger) EnrichTags(acc tagger.TagsAccumulator, origin tagger.OriginInfo) {
	c := t.opts.Cardinality
	if origin.Cardinality != "" {
		if asked, err := tagger.ParseCardinality(origin.Cardinality); err == nil {
			c = asked
		}
	}
	if c == tagger.NoneCardinality {
		return
	}
	if origin.PodUID != tagger.EntityNone {
		t.addFirst(acc, origin, c)
	}
	if tags, ok := t.tags.Find(tagger.GlobalEntityID, c); ok {
		add(acc, tags)
	}
}

// addFirst adds the tags of the first candidate that has any.
func (t *Tagger) addFirst(acc tagger.TagsAccumulator, origin tagger.OriginInfo,
	c tagger.TagCardinality) {
	for id := range t.candidates(origin) {
		if tags, ok := t.tags.Find(id, c); ok && tags.Len() > 0 {
			add(acc, tags)
			return
		}
	}
	origin.Cardinality = ""
	if origin != (tagger.OriginInfo{}) {
		t.unresolved.Add(1)
	}
}

func add(acc tagger.TagsAccumulator, tags tagset.Tags) {
	for tag := range tags.All() {
		acc.Append(tag)
	}
}

// candidates yields who may have sent a piece of telemetry, the most trusted first.
func (t *Tagger) candidates(origin tagger.OriginInfo) func(yield func(tagger.EntityID) bool) {
	return func(yield func(tagger.EntityID) bool) {
		container := func(id string) bool { return id == "" || yield(tagger.Container(id)) }
		pod := func(uid string) bool { return uid == "" || yield(t.podEntity(uid)) }
		if !container(origin.ContainerIDFromSocket) || !container(origin.LocalData.ContainerID) {
			return
		}
		if origin.LocalData.ProcessID != 0 {
			if c, err := t.store.ContainerForPID(int(origin.LocalData.ProcessID)); err == nil &&
				!container(c.ID) {
				return
			}
		}
		if id, err := t.containerOf(origin.ExternalData); err == nil && !container(id) {
			return
		}
		_ = pod(origin.PodUID) && pod(origin.ExternalData.PodUID) && pod(origin.LocalData.PodUID)
	}
}

// podEntity is the pod as the tags know it: a static pod has two UIDs.
func (t *Tagger) podEntity(uid string) tagger.EntityID {
	if pod, err := t.store.GetKubernetesPod(uid); err == nil {
		uid = pod.ID
	}
	return tagger.KubernetesPod(uid)
}

func (t *Tagger) containerOf(external tagger.ExternalData) (string, error) {
	if external.PodUID == "" || external.ContainerName == "" {
		return "", tagger.ErrUnknown
	}
	pod, err := t.store.GetKubernetesPod(external.PodUID)
	if err != nil {
		return "", fmt.Errorf("container %s of pod %s: %w", external.ContainerName, external.PodUID,
			tagger.ErrUnknown)
	}
	lists := [][]workloadmeta.OrchestratorContainer{pod.Containers, pod.EphemeralContainers}
	if external.Init {
		lists = [][]workloadmeta.OrchestratorContainer{pod.InitContainers}
	}
	for _, list := range lists {
		for _, c := range list {
			if c.Name == external.ContainerName && c.ID != "" {
				return c.ID, nil
			}
		}
	}
	return "", fmt.Errorf("container %s of pod %s: %w", external.ContainerName, external.PodUID,
		tagger.ErrUnknown)
}

// GenerateContainerIDFromOriginInfo implements [tagger.Component].
func (t *Tagger) GenerateContainerIDFromOriginInfo(origin tagger.OriginInfo) (string, error) {
	for id := range t.candidates(origin) {
		if id.Prefix() == tagger.PrefixContainer {
			return id.ID(), nil
		}
	}
	return "", fmt.Errorf("container of origin %+v: %w", origin, tagger.ErrUnknown)
}

// selfContainerID finds out in which container this process runs; "" = none, or it
// cannot be seen from here.
func selfContainerID() string {
	if f, err := os.Open("/proc/self/cgroup"); err == nil {
		lines, err := cgroup.Parse(f)
		f.Close()
		if err == nil {
			if id, ok := cgroup.ContainerID(lines, nil); ok {
				return id
			}
		}
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	self, err := cgroup.ContainerIDFromMountinfo(f)
	if err != nil {
		return ""
	}
	return self.ContainerID
}
