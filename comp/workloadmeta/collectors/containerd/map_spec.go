package containerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/internal/runtimes"
)

// maxSpec is the longest OCI specification that is read, in bytes. Some have thousands of mounts or devices and would cost
// more than they tell.
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
	if err := lenient(json.Unmarshal(text, s)); err != nil {
		return nil, fmt.Errorf("decode the specification: %w", err)
	}
	return s, nil
}

// lenient lets JSON pass in which a field has another type than expected: the field is then empty, and everything else is there.
func lenient(err error) error {
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil
	}
	return err
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

// defaultShares is the weight that containerd and its clients write where none was asked for. The kubelet writes what a pod requests.
const defaultShares = 1024

// limits returns the resources, nil if the specification has none.
func (s *spec) limits(ofPod bool) *runtimes.Limits {
	if s.Linux == nil || s.Linux.Resources == nil {
		return nil
	}
	out := new(runtimes.Limits)
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

// defaultCapabilities are what containerd and its clients give to a container that asks for nothing.
var defaultCapabilities = [...]string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID",
	"SETPCAP", "SETUID", "SYS_CHROOT",
}

// security returns what the container may do, as far as a specification tells: whether it was asked to be privileged, and
// which filter of system calls it has, it does not.
func (s *spec) security() *workloadmeta.ContainerSecurityContext {
	if s.Process == nil || s.Linux == nil {
		return nil
	}
	out := new(workloadmeta.ContainerSecurityContext)
	if s.Linux.Seccomp == nil {
		out.SeccompProfile = &workloadmeta.SeccompProfile{Type: "Unconfined"}
	}
	if s.Process.Capabilities != nil {
		has := runtimes.Capabilities(s.Process.Capabilities.Bounding)
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

// hostNetwork reports whether the container is on the machine's network: it has no network namespace of its own.
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

// cgroupPath returns the cgroup that the specification asks for, as it is below the hierarchy's root.
func (s *spec) cgroupPath() string {
	if s.Linux == nil {
		return ""
	}
	return cgroupPath(s.Linux.CgroupsPath)
}

// cgroupPath rewrites the form in which runtimes ask systemd for a cgroup, "slice:prefix:name", to the path that it gets: a slice's
// name has those above it in it, "a-b.slice" being in "a.slice".
func cgroupPath(path string) string {
	slice, rest, ok := strings.Cut(path, ":")
	prefix, name, isTriplet := strings.Cut(rest, ":")
	if !ok || !isTriplet || strings.Contains(path, "/") || name == "" {
		return path
	}
	unit := name
	if !strings.HasSuffix(name, ".slice") {
		if prefix != "" {
			unit = prefix + "-" + name
		}
		unit += ".scope"
	}
	if slice == "" {
		slice = "system.slice" // runc's default, for a root user
	}
	return expandSlice(slice) + "/" + unit
}

// maxSlices bounds how deep slices are nested: the path of one would otherwise grow with the square of its name's length.
const maxSlices = 32

// expandSlice returns the path of a slice. What is no slice's name stays as it is.
func expandSlice(slice string) string {
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || strings.Count(name, "-") >= maxSlices {
		return "/" + slice
	}
	if name == "-" {
		return "" // the root slice
	}
	var path strings.Builder
	for i := range len(name) {
		if name[i] == '-' {
			if i == 0 || name[i-1] == '-' {
				return "/" + slice // no slice has such a name
			}
			path.WriteString("/" + name[:i] + ".slice")
		}
	}
	if strings.HasSuffix(name, "-") {
		return "/" + slice
	}
	path.WriteString("/" + slice)
	return path.String()
}
