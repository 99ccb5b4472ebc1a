package mapping

import (
	"cmp"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
)

// NewContainer returns an empty container.
func NewContainer(id string, runtime workloadmeta.ContainerRuntime) *workloadmeta.Container {
	return &workloadmeta.Container{EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer,
		ID: id}, Runtime: runtime}
}

// IsUp reports whether a container of this status is one that is there: runtimes say of a
// restarting container that it runs, although it has no process at the moment.
func IsUp(s workloadmeta.ContainerStatus) bool {
	return s == workloadmeta.StatusRunning || s == workloadmeta.StatusPaused ||
		s == workloadmeta.StatusRestarting
}

// Health reads a health check's result as Docker and Podman spell it. "starting", "none" and "" say
// nothing.
func Health(s string) workloadmeta.ContainerHealth {
	switch s {
	case "healthy":
		return workloadmeta.HealthHealthy
	case "unhealthy":
		return workloadmeta.HealthUnhealthy
	}
	return workloadmeta.HealthUnknown
}

// Flavor tells from the name of an OCI runtime, a program's path or one like
// "io.containerd.kata.v2", what isolates the container.
func Flavor(runtime string) workloadmeta.ContainerRuntimeFlavor {
	switch runtime = path.Base(runtime); {
	case strings.HasPrefix(runtime, "io.containerd.kata"), strings.HasPrefix(runtime, "kata"):
		return workloadmeta.FlavorKata
	case strings.HasPrefix(runtime, "runsc"), strings.HasPrefix(runtime, "io.containerd.runsc"),
		strings.HasPrefix(runtime, "gvisor"):
		return workloadmeta.FlavorGVisor
	}
	return workloadmeta.FlavorDefault
}

// CgroupPath returns the cgroup of a container's first process below the hierarchy's root, or "" if
// it cannot be read or is not the container's: the daemon may be on another machine, or in a
// namespace where the number means another process.
func CgroupPath(procRoot string, pid int, id string) string {
	f, err := os.Open(filepath.Join(procRoot, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return ""
	}
	defer f.Close()             // only read from
	lines, _ := cgroup.Parse(f) // lines that can be read are enough
	for _, line := range lines {
		if strings.Contains(line.Path, id) {
			return line.Path
		}
	}
	return ""
}

// MaxPorts bounds the ports of one container: ranges make it easy to expose them all.
const MaxPorts = 4096

// SortPorts orders ports and removes doubles and what is no port.
func SortPorts(ports []workloadmeta.ContainerPort) []workloadmeta.ContainerPort {
	slices.SortFunc(ports, func(a, b workloadmeta.ContainerPort) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.HostPort, b.HostPort))
	})
	ports = slices.Compact(ports)
	return slices.Clip(
		slices.DeleteFunc(ports,
			func(p workloadmeta.ContainerPort) bool { return p.Port <= 0 || p.Port > 65535 }))
}

// Capabilities returns names as Kubernetes spells them: NET_ADMIN, without the prefix that some
// runtimes use, sorted.
func Capabilities(names []string) []string {
	var out []string
	for _, name := range names {
		out = append(out, strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Limits are a container's resources in the units that runtimes use; zero means not set.
type Limits struct {
	NanoCPUs int64 // CPUs × 10⁹
	// microseconds; a quota below 1 is none, and a period of 0 is the kernel's default
	Quota, Period     int64
	Shares            uint64 // weight; 1024 is one CPU
	Cpuset            string // "0-3,7"
	Memory            int64  // bytes
	MemoryReservation int64  // bytes
}

// noMemoryLimit is from where on a limit means none: cgroup v1 stores "unlimited" as the largest
// multiple of a page.
const noMemoryLimit = math.MaxInt64 - 4095

// Resources returns requests and limits in the store's units. Of several CPU limits the tightest
// holds.
func (l Limits) Resources() workloadmeta.ContainerResources {
	var out workloadmeta.ContainerResources
	limit := func(percent float64) {
		if percent > 0 && (out.CPULimit == nil || percent < *out.CPULimit) {
			out.CPULimit = &percent
		}
	}
	limit(float64(l.NanoCPUs) / 1e9 * 100)
	period := l.Period
	if period <= 0 {
		period = 100_000 // the kernel's default
	}
	limit(float64(l.Quota) / float64(period) * 100)
	limit(float64(cpusetSize(l.Cpuset)) * 100)
	// 2 is the least weight the kernel takes, and what "no request" becomes in Kubernetes.
	if l.Shares > 2 {
		request := float64(l.Shares) / 1024 * 100
		out.CPURequest = &request
	}
	out.MemoryLimit = bytesOf(l.Memory)
	out.MemoryRequest = bytesOf(l.MemoryReservation)
	return out
}

func bytesOf(n int64) *uint64 {
	if n <= 0 || n >= noMemoryLimit {
		return nil
	}
	bytes := uint64(n)
	return &bytes
}

// cpusetSize counts the CPUs in a list such as "0-3,7"; a list that cannot be read counts as none.
func cpusetSize(list string) int {
	if list == "" {
		return 0
	}
	n := 0
	for item := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(item), "-")
		if !isRange {
			high = low
		}
		a, errA := strconv.ParseUint(low, 10, 16)
		b, errB := strconv.ParseUint(high, 10, 16)
		if errA != nil || errB != nil || b < a {
			return 0
		}
		n += int(b-a) + 1
	}
	return n
}
