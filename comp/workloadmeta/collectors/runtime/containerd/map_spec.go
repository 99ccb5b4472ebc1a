package containerd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// maxSpec is the longest OCI specification that is read, in bytes. Some have thousands of mounts or
// devices and would cost more than they tell.
const maxSpec = 2 << 20

// spec is what is read of a container's OCI runtime specification.
type spec struct {
	Hostname    string            `json:"hostname"`
	Annotations map[string]string `json:"annotations"`
	Process     *struct {
		Env          []string `json:"env"` // to be filtered before anything else
		Capabilities *struct {
			Bounding []string `json:"bounding"`
		} `json:"capabilities"`
	} `json:"process"`
	Linux *struct {
		CgroupsPath string `json:"cgroupsPath"`
		Namespaces  []struct {
			Type string `json:"type"`
			Path string `json:"path"`
		} `json:"namespaces"`
		Resources *struct {
			CPU *struct {
				Shares *uint64 `json:"shares"`
				Quota  *int64  `json:"quota"`
				Period *uint64 `json:"period"`
				Cpus   string  `json:"cpus"`
			} `json:"cpu"`
			Memory *struct {
				Limit       *int64 `json:"limit"`
				Reservation *int64 `json:"reservation"`
			} `json:"memory"`
		} `json:"resources"`
		Seccomp *struct{} `json:"seccomp"`
	} `json:"linux"`
}

// decodeSpec reads a specification.
func decodeSpec(text []byte) (*spec, error) {
	if len(text) > maxSpec {
		return nil, fmt.Errorf("the specification has %d bytes, more than %d", len(text), maxSpec)
	}
	s := new(spec)
	if err := mapping.LenientJSON(json.Unmarshal(text, s)); err != nil {
		return nil, fmt.Errorf("decode the specification: %w", err)
	}
	return s, nil
}

// environment returns the value of a variable, the last one if it is there several times.
func (s *spec) environment(name string) string {
	if s.Process == nil {
		return ""
	}
	for _, entry := range slices.Backward(s.Process.Env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// defaultShares is the weight that containerd and its clients write where none was asked for. The
// kubelet writes what a pod requests.
const defaultShares = 1024

// limits returns the resources, nil if the specification has none.
func (s *spec) limits(ofPod bool) *mapping.Limits {
	if s.Linux == nil || s.Linux.Resources == nil {
		return nil
	}
	out := new(mapping.Limits)
	if cpu := s.Linux.Resources.CPU; cpu != nil {
		out.Shares, out.Quota, out.Cpuset = value(cpu.Shares), value(cpu.Quota), cpu.Cpus
		if !ofPod && out.Shares == defaultShares {
			out.Shares = 0
		}
		out.Period = int64(min(value(cpu.Period), 1<<62))
	}
	if memory := s.Linux.Resources.Memory; memory != nil {
		out.Memory, out.MemoryReservation = value(memory.Limit), value(memory.Reservation)
	}
	return out
}

// value returns what p points to, or zero.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// defaultCapabilities are what containerd and its clients give to a container that asks for
// nothing.
var defaultCapabilities = [...]string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
	"NET_RAW", "SETFCAP", "SETGID",
	"SETPCAP", "SETUID", "SYS_CHROOT",
}

// security returns what the container may do, as far as a specification tells: whether it was asked
// to be privileged, and which filter of system calls it has, it does not.
func (s *spec) security() *workloadmeta.ContainerSecurityContext {
	if s.Process == nil || s.Linux == nil {
		return nil
	}
	out := new(workloadmeta.ContainerSecurityContext)
	if s.Linux.Seccomp == nil {
		out.SeccompProfile = &workloadmeta.SeccompProfile{Type: mapping.SeccompUnconfined}
	}
	if s.Process.Capabilities != nil {
		has := mapping.Capabilities(s.Process.Capabilities.Bounding)
		var c workloadmeta.Capabilities
		for _, name := range has {
			if !slices.Contains(defaultCapabilities[:], name) {
				c.Add = append(c.Add, name)
			}
		}
		for _, name := range defaultCapabilities {
			if !slices.Contains(has, name) {
				c.Drop = append(c.Drop, name)
			}
		}
		if c.Add != nil || c.Drop != nil {
			out.Capabilities = &c
		}
	}
	if *out == (workloadmeta.ContainerSecurityContext{}) {
		return nil
	}
	return out
}

// hostNetwork reports whether the container is on the machine's network: it has no network
// namespace of its own.
func (s *spec) hostNetwork() bool {
	if s.Linux == nil {
		return false
	}
	for _, ns := range s.Linux.Namespaces {
		if ns.Type == "network" {
			return false
		}
	}
	return true
}

// cgroupPath returns the cgroup that the specification asks for, as it is below the hierarchy's
// root.
func (s *spec) cgroupPath() string {
	if s.Linux == nil {
		return ""
	}
	return mapping.RequestedCgroup(s.Linux.CgroupsPath)
}
