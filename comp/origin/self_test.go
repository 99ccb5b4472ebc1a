package origin_test

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/origin"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

const (
	uid = "6b1f3a52-7c1e-4d0a-9a54-0c1d2e3f4a5b"
	cid = "3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b"
)

// index knows one pod with one container.
type index struct{}

func (index) GetKubernetesPod(id string) (*workloadmeta.KubernetesPod, error) {
	if id != uid {
		return nil, workloadmeta.ErrNotFound
	}
	return &workloadmeta.KubernetesPod{
		EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: uid},
		Containers: []workloadmeta.OrchestratorContainer{{ID: cid, Name: "agent"}}}, nil
}

func (index) ContainerForPID(int) (*workloadmeta.Container, error) {
	return nil, errors.New("no PID is asked for")
}

func (index) ContainerForInode(uint64) (*workloadmeta.Container, error) {
	return nil, errors.New("no inode is asked for")
}

func TestSelf(t *testing.T) {
	const mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
	const kubelet = mounts +
		"2 1 8:1 /var/lib/kubelet/pods/" + uid + "/etc-hosts /etc/hosts rw - ext4 /dev/sda rw\n" +
		"3 1 8:1 /var/lib/kubelet/pods/" + uid +
		"/containers/agent/0a1b2c3d /dev/termination-log rw - ext4 /dev/sda rw\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  []tagger.EntityID
	}{
		"nothing can be read": {nil, nil},
		"the host": {
			map[string]string{"cgroup": "0::/init.scope\n", "mountinfo": mounts}, nil},
		"cgroup v1": {map[string]string{
			"cgroup": "4:memory:/kubepods/pod" + uid + "/" + cid + "\n"},
			[]tagger.EntityID{tagger.Container(cid), tagger.KubernetesPod(uid)}},
		"a bad line beside a good one": {map[string]string{
			"cgroup": "nonsense\n4:memory:/docker/" + cid + "\n"},
			[]tagger.EntityID{tagger.Container(cid)}},
		"Docker, cgroup v2": {map[string]string{"cgroup": "0::/\n", "mountinfo": mounts +
			"2 1 8:1 /var/lib/docker/containers/" + cid +
			"/hostname /etc/hostname rw - ext4 /dev/sda rw\n"},
			[]tagger.EntityID{tagger.Container(cid)}},
		"Kubernetes, cgroup v2": {map[string]string{"cgroup": "0::/\n", "mountinfo": kubelet},
			[]tagger.EntityID{tagger.Container(cid), tagger.KubernetesPod(uid)}},
		"a bad mount beside good ones": {map[string]string{"cgroup": "0::/\n",
			"mountinfo": "bad\n" + kubelet},
			[]tagger.EntityID{tagger.Container(cid), tagger.KubernetesPod(uid)}},
	} {
		self := origin.Self(func(name string) (io.ReadCloser, error) {
			if text, ok := c.files[strings.TrimPrefix(name, "/proc/self/")]; ok {
				return io.NopCloser(strings.NewReader(text)), nil
			}
			return nil, fs.ErrNotExist
		})
		if got := slices.Collect(origin.Candidates(index{}, self)); !slices.Equal(got, c.want) {
			t.Errorf("%s: candidates %q, want %q (%+v)", name, got, c.want, self)
		}
	}
}
