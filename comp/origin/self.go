package origin

import (
	"io"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
)

// Self returns what this process can see of the container that it runs in: an ID, or a pod's
// UID and the container's name in it, which [Candidates] resolves once the pod is known. In a
// cgroup namespace of its own, as cgroup v2 and Kubernetes make, it is the latter. Empty
// means that it runs in none, or that it cannot be seen from here.
//
// open opens a file of /proc. What cannot be read in part still counts in part.
func Self(open func(name string) (io.ReadCloser, error)) tagger.OriginInfo {
	var o tagger.OriginInfo
	if f, err := open("/proc/self/cgroup"); err == nil {
		lines, _ := cgroup.Parse(f)
		f.Close()
		if m, ok := cgroup.FindInLines(lines, nil); ok {
			o.LocalData.PodUID = m.PodUID
			if !m.Sandbox {
				o.LocalData.ContainerID = m.ID
				return o
			}
		}
	}
	f, err := open("/proc/self/mountinfo")
	if err != nil {
		return o
	}
	defer f.Close()
	self, _ := cgroup.ContainerIDFromMountinfo(f)
	o.LocalData.ContainerID = self.ContainerID
	o.ExternalData = tagger.ExternalData{PodUID: self.PodUID, ContainerName: self.ContainerName}
	return o
}
