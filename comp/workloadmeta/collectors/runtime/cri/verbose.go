package cri

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// maxInfo bounds the text of a verbose answer.
const maxInfo = 8 << 20

// readInfo reads the verbose part of an answer into a struct with the needed fields, which is all
// that is kept of it. Fields of an unexpected type stay empty. No verbose part is no error.
func readInfo(info map[string]string, to any) error {
	text := info["info"]
	switch {
	case text == "":
		return nil
	case len(text) > maxInfo:
		return fmt.Errorf("the verbose answer has %d bytes", len(text))
	}
	if err := mapping.LenientJSON(json.Unmarshal([]byte(text), to)); err != nil {
		// The library's text would quote what it has found.
		return errors.New("the verbose answer is no JSON")
	}
	return nil
}

// detail is what only a container's verbose status tells.
type detail struct {
	pid         int
	hostname    string
	cgroup      string
	looked      bool // for the cgroup, in /proc
	runtimeType string
	imageAsked  string
	devices     []string // names of the Container Device Interface
	env         map[string]string
	limits      mapping.Limits
	security    *workloadmeta.ContainerSecurityContext
}

// containerInfo has what containerd and CRI-O tell: containerd the configuration that it was given
// and the specification of the container, CRI-O the latter and whether it is privileged.
type containerInfo struct {
	PID         int     `json:"pid"`
	RuntimeType string  `json:"runtimeType"`
	Privileged  *bool   `json:"privileged"`
	Config      *config `json:"config"`
	Spec        *spec   `json:"runtimeSpec"`
}

type config struct {
	Image struct {
		UserSpecifiedImage string `json:"user_specified_image"`
	} `json:"image"`
	Envs []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"envs"`
	Devices []mapping.CRIDevice `json:"CDI_devices"`
	Linux   struct {
		Resources *mapping.CRIResources `json:"resources"`
		Security  *mapping.CRISecurity  `json:"security_context"`
	} `json:"linux"`
}

type spec struct {
	Hostname string `json:"hostname"`
	Process  struct {
		Env []string `json:"env"`
	} `json:"process"`
	Linux *struct {
		CgroupsPath string    `json:"cgroupsPath"`
		Seccomp     *struct{} `json:"seccomp"`
		Resources   struct {
			CPU struct {
				Shares int64  `json:"shares"`
				Quota  int64  `json:"quota"`
				Period int64  `json:"period"`
				Cpus   string `json:"cpus"`
			} `json:"cpu"`
			Memory struct {
				Limit       int64 `json:"limit"`
				Reservation int64 `json:"reservation"`
			} `json:"memory"`
		} `json:"resources"`
	} `json:"linux"`
}

// decodeContainer reads the verbose part of a container's status. The error is about what could not
// be read; the rest counts.
func decodeContainer(info map[string]string, o *Options) (detail, error) {
	var in containerInfo
	if err := readInfo(info, &in); err != nil {
		return detail{}, err
	}
	d := detail{pid: max(in.PID, 0), runtimeType: in.RuntimeType}
	if c := in.Config; c != nil {
		d.imageAsked = c.Image.UserSpecifiedImage
		d.devices = mapping.CRIDevices(c.Devices)
		var env []string
		for _, e := range c.Envs {
			env = append(env, e.Key+"="+e.Value)
		}
		d.env = mapping.NilIfEmpty(o.Env.Filter(env))
		if r := c.Linux.Resources; r != nil {
			d.limits = r.Limits()
		}
	}
	if s := in.Spec; s != nil {
		d.hostname = s.Hostname
		// It has the image's variables as well.
		if env := o.Env.Filter(s.Process.Env); len(env) > 0 {
			d.env = env
		}
		if l := s.Linux; l != nil {
			d.cgroup = mapping.RequestedCgroup(l.CgroupsPath)
			if d.limits == (mapping.Limits{}) {
				cpu, memory := &l.Resources.CPU, &l.Resources.Memory
				d.limits = mapping.Limits{Quota: cpu.Quota, Period: cpu.Period,
					Shares: weight(cpu.Shares), Cpuset: cpu.Cpus, Memory: memory.Limit}
			}
			d.limits.MemoryReservation = l.Resources.Memory.Reservation
		}
	}
	d.security = security(&in)
	return d, nil
}

// security returns what is known of what the container may do, nil if nothing is.
func security(in *containerInfo) *workloadmeta.ContainerSecurityContext {
	var out *workloadmeta.ContainerSecurityContext
	if in.Config != nil && in.Config.Linux.Security != nil {
		out = in.Config.Linux.Security.Context()
	}
	if in.Privileged != nil {
		if out == nil {
			out = new(workloadmeta.ContainerSecurityContext)
		}
		out.Privileged = out.Privileged || *in.Privileged
	}
	if out == nil {
		return nil
	}
	// A filter that is there may be the default or another: that is not known.
	unfiltered := in.Spec != nil && in.Spec.Linux != nil && in.Spec.Linux.Seccomp == nil
	if out.Privileged || out.SeccompProfile == nil && unfiltered {
		out.SeccompProfile = &workloadmeta.SeccompProfile{Type: mapping.SeccompUnconfined}
	}
	return out
}

// imageDetail is what only an image's verbose status tells.
type imageDetail struct {
	os, osVersion, architecture, variant string
	labels                               map[string]string
	layers                               []workloadmeta.ContainerImageLayer
}

// imageInfo has what containerd and CRI-O tell of an image: the image's configuration, as the OCI
// specification has it.
type imageInfo struct {
	Labels map[string]string `json:"labels"` // CRI-O's
	Spec   struct {
		OS           string `json:"os"`
		OSVersion    string `json:"os.version"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
		Config       struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []struct {
			Created    string `json:"created"`
			CreatedBy  string `json:"created_by"`
			Author     string `json:"author"`
			Comment    string `json:"comment"`
			EmptyLayer bool   `json:"empty_layer"`
		} `json:"history"`
	} `json:"imageSpec"`
}

// decodeImage reads the verbose part of an image's status. The error is about what could not be
// read; the rest counts.
func decodeImage(info map[string]string, o *Options) (imageDetail, error) {
	var in imageInfo
	if err := readInfo(info, &in); err != nil {
		return imageDetail{}, err
	}
	s := &in.Spec
	d := imageDetail{os: s.OS, osVersion: s.OSVersion, architecture: s.Architecture,
		variant: s.Variant}
	d.labels = mapping.Metadata(s.Config.Labels)
	if d.labels == nil {
		d.labels = mapping.Metadata(in.Labels)
	}
	var layers []workloadmeta.ContainerImageLayer
	for _, id := range s.RootFS.DiffIDs {
		layers = append(layers, workloadmeta.ContainerImageLayer{Digest: id})
	}
	var history []mapping.HistoryEntry
	for _, h := range s.History {
		created, _ := time.Parse(time.RFC3339Nano, h.Created) // zero if it cannot be read
		history = append(history, mapping.HistoryEntry{
			Created: created, CreatedBy: h.CreatedBy, Author: h.Author, Comment: h.Comment,
			EmptyLayer: h.EmptyLayer,
		})
	}
	d.layers = mapping.PairLayers(history, layers, o.Env.Allowed)
	return d, nil
}
