package realnode

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endLeftovers ends everything that an instance's daemons have left: daemons, shims, containers,
// mounts below the folder, the shims' sockets and the containers' control groups. It needs only the
// folder, so it also works for an instance of a process that is gone.
func endLeftovers(dir string) error {
	bundles := findBundles(dir)
	left := killAll(dir, bundles)
	var errs []error
	if len(left) > 0 {
		errs = append(errs, fmt.Errorf("processes still run: %s", strings.Join(left, "; ")))
	}
	errs = append(errs, unmountBelow(dir))
	for _, b := range bundles {
		errs = append(errs, b.remove())
	}
	for _, root := range cgroupMounts() {
		errs = append(errs, removeGroup(filepath.Join(root, groupName(dir))))
	}
	// What the CNI remembers of pods that it has not been told the end of.
	results, _ := filepath.Glob(filepath.Join("/var/lib/cni/results", groupName(dir)+"-*"))
	errs = append(errs, removeIfThere(results...))
	return errors.Join(errs...)
}

// makeGroups makes a control group in each hierarchy, in which groups with processes can be made.
func makeGroups(name string) error {
	for _, root := range cgroupMounts() {
		group := filepath.Join(root, name)
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make a control group: %w", err)
		}
		// Version 1 makes a group without any CPU and memory, in which nothing can run.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			content, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				continue // it is not that hierarchy
			}
			if err := os.WriteFile(filepath.Join(group, file), content, 0o644); err != nil {
				return fmt.Errorf("make a control group: %w", err)
			}
		}
	}
	return nil
}

// bundle is a container's working folder as containerd lays it out:
// <state>/io.containerd.runtime.v2.task/<namespace>/<container id>.
type bundle struct {
	path string
	id   string
	// the shim's socket; it lies in /run/containerd/s whatever containerd's state folder is
	socket string
	groups []string // the container's control groups, one folder per hierarchy
}

func findBundles(dir string) []bundle {
	paths, _ := filepath.Glob(filepath.Join(stateFolder(dir), "io.containerd.runtime.v2.task", "*",
		"*"))
	roots := cgroupMounts()
	var found []bundle
	for _, path := range paths {
		b := bundle{path: path, id: filepath.Base(path), socket: shimSocket(path)}
		var spec struct {
			Linux struct {
				CgroupsPath string `json:"cgroupsPath"`
			} `json:"linux"`
		}
		content, err := os.ReadFile(filepath.Join(path, "config.json"))
		// A group that does not carry the container's ID may be somebody else's: leave it alone.
		if err == nil && json.Unmarshal(content, &spec) == nil && b.id != "" &&
			strings.HasPrefix(spec.Linux.CgroupsPath, "/") &&
			filepath.Base(spec.Linux.CgroupsPath) == b.id {
			for _, root := range roots {
				b.groups = append(b.groups, filepath.Join(root, spec.Linux.CgroupsPath))
			}
		}
		found = append(found, b)
	}
	return append(found, findPodmanBundles(dir, roots)...)
}

// shimSocket returns the path of the shim's socket, "" if that is not known. Until version 2
// containerd wrote it into the bundle's file "address", since then into bootstrap.json.
func shimSocket(bundle string) string {
	var bootstrap struct {
		Address string `json:"address"`
	}
	if content, err := os.ReadFile(filepath.Join(bundle, "bootstrap.json")); err != nil ||
		json.Unmarshal(content, &bootstrap) != nil {
		address, _ := os.ReadFile(filepath.Join(bundle, "address"))
		bootstrap.Address = strings.TrimSpace(string(address))
	}
	return strings.TrimPrefix(bootstrap.Address, "unix://")
}

// findPodmanBundles finds the containers of a Podman instance, which are at
// <root>/<driver>-containers/<id>/userdata.
func findPodmanBundles(dir string, roots []string) []bundle {
	paths, _ := filepath.Glob(filepath.Join(dir, "podman", "*-containers", "*", "userdata"))
	groups := libpodGroups(roots)
	var found []bundle
	for _, path := range paths {
		id := filepath.Base(filepath.Dir(path))
		found = append(found, bundle{path: path, id: id, groups: groups[id]})
	}
	return found
}

// libpodGroups returns the control groups of Podman's containers by their IDs. They are below
// libpod_parent, those of a pod's containers in the pod's.
func libpodGroups(roots []string) map[string][]string {
	found := map[string][]string{}
	for _, root := range roots {
		for _, pattern := range []string{"libpod-*", "*/libpod-*"} {
			groups, _ := filepath.Glob(filepath.Join(root, "libpod_parent", pattern))
			for _, group := range groups {
				id := strings.TrimPrefix(filepath.Base(group), "libpod-")
				found[id] = append(found[id], group)
			}
		}
	}
	return found
}

// podmanGroups returns the control groups of an instance's containers, also of those that are gone:
// Podman leaves groups behind when many containers end at once. Its file of events still names
// their containers.
func podmanGroups(dir string) []string {
	byID := libpodGroups(cgroupMounts())
	var groups []string
	for _, b := range findPodmanBundles(dir, nil) {
		groups = append(groups, byID[b.id]...)
		delete(byID, b.id)
	}
	events, _ := os.ReadFile(filepath.Join(dir, "tmp", "events", "events.log"))
	for _, match := range regexp.MustCompile(`"ID":"([0-9a-f]{64})"`).FindAllSubmatch(events, -1) {
		id := string(match[1])
		groups = append(groups, byID[id]...)
		delete(byID, id)
	}
	return groups
}

func removeGroups(groups []string) error {
	var errs []error
	for _, group := range groups {
		errs = append(errs, removeGroup(group))
	}
	return errors.Join(errs...)
}

// pids returns the processes in the container's control groups.
func (b bundle) pids() []int {
	var pids []int
	for _, group := range b.groups {
		content, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		for field := range strings.FieldsSeq(string(content)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func (b bundle) remove() error {
	var errs []error
	if filepath.IsAbs(b.socket) {
		errs = append(errs, removeIfThere(b.socket))
	}
	for _, group := range b.groups {
		errs = append(errs, removeGroup(group))
	}
	// Containers of a containerd client that does not choose a folder for runc are in its default
	// one, which the whole machine shares. The state names the bundle, so it says whose it is.
	state := filepath.Join("/run/containerd/runc", filepath.Base(filepath.Dir(b.path)), b.id)
	content, err := os.ReadFile(filepath.Join(state, "state.json"))
	if err == nil && strings.Contains(string(content), strconv.Quote("bundle="+b.path)) {
		errs = append(errs, os.RemoveAll(state))
	}
	return errors.Join(errs...)
}

// removeGroup removes a control group with the groups below it. The kernel refuses while a process
// is in one, and for a moment after the last has ended.
func removeGroup(group string) error {
	for deadline := time.Now().Add(goneWithin); ; time.Sleep(20 * time.Millisecond) {
		var folders []string
		_ = filepath.WalkDir(group, func(path string, entry fs.DirEntry, walkErr error) error {
			if walkErr == nil && entry.IsDir() {
				folders = append(folders, path)
			}
			return nil
		})
		slices.Reverse(folders) // children before parents
		err := removeIfThere(folders...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// killAll sends SIGKILL to the instance's processes until there are none, and returns descriptions
// of those that are still there after a while.
func killAll(dir string, bundles []bundle) []string {
	var pids []int
	for deadline := time.Now().Add(goneWithin); time.Now().Before(deadline); {
		pids = instancePids(dir)
		for _, b := range bundles {
			pids = append(pids, b.pids()...)
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
	var left []string
	for _, pid := range pids {
		left = append(left, fmt.Sprintf("%d %s", pid, strings.Join(commandLine(pid), " ")))
	}
	return left
}

// instancePids finds the instance's daemons and shims by a command line that mentions the folder,
// and everything that descends from them. Zombies are not listed: there is nothing left of them to
// end.
func instancePids(dir string) []int {
	parents := map[int]int{}
	ours := map[int]bool{}
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		fields := statFields(pid)
		if len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		parents[pid], _ = strconv.Atoi(fields[1])
		ours[pid] = belongs(commandLine(pid), dir)
	}
	var found []int
	for pid := range parents {
		for p := pid; p > 1; p = parents[p] {
			if ours[p] {
				found = append(found, pid)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

// belongs says whether a command line is that of a daemon, shim or client of the instance. The
// program is checked too, so that somebody's `less <folder>/dockerd.log` is left alone.
func belongs(argv []string, dir string) bool {
	if len(argv) == 0 {
		return false
	}
	name := filepath.Base(argv[0])
	if !strings.HasPrefix(name, "containerd-shim") && !slices.Contains(programs, name) &&
		!slices.Contains(kubePrograms, name) {
		return false
	}
	return slices.ContainsFunc(argv[1:],
		func(arg string) bool { return strings.Contains(arg, dir+"/") })
}

func commandLine(pid int) []string {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.FieldsFunc(string(content), func(r rune) bool { return r == 0 })
}

// statFields returns /proc/<pid>/stat from the state on: state, parent, … The second field, the
// program's name, may hold blanks and parentheses, so the search starts behind its end.
func statFields(pid int) []string {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := cutLast(string(content), ")")
	return strings.Fields(rest)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// startTime identifies a process together with its id: the clock ticks from boot to its start.
// It returns "" when there is no such process.
func startTime(pid int) string {
	fields := statFields(pid)
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// ownFolder says whether dir is a real folder, not a link to one, that belongs to this process's
// user.
func ownFolder(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// mountsBelow returns the mount points under dir, deepest last mounted first.
func mountsBelow(dir string) []string {
	var found []string
	for _, fields := range mountTable() {
		if strings.HasPrefix(fields[4], dir+"/") {
			found = append(found, fields[4])
		}
	}
	slices.Reverse(found)
	return found
}

func unmountBelow(dir string) error {
	var errs []error
	for _, point := range mountsBelow(dir) {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil &&
			!errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	if left := mountsBelow(dir); len(left) > 0 {
		errs = append(errs, fmt.Errorf("still mounted: %s", strings.Join(left, ", ")))
	}
	return errors.Join(errs...)
}

// cgroupMounts returns where the control group hierarchies are mounted.
func cgroupMounts() []string {
	var found []string
	for _, fields := range mountTable() {
		if i := slices.Index(fields, "-"); i >= 0 && i+1 < len(fields) &&
			strings.HasPrefix(fields[i+1], "cgroup") {
			found = append(found, fields[4])
		}
	}
	return found
}

// mountTable reads /proc/self/mountinfo: the fifth field is the mount point, the one after "-" the
// type. Folders of instances hold no blanks, so the octal escapes in it need no decoding.
func mountTable() [][]string {
	content, _ := os.ReadFile("/proc/self/mountinfo")
	var table [][]string
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 6 {
			table = append(table, fields)
		}
	}
	return table
}

func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// terminate asks the process to end. A frozen one must run again to hear it.
func terminate(p *os.Process, frozen bool) error {
	err := p.Signal(syscall.SIGTERM)
	if frozen {
		err = errors.Join(err, p.Signal(syscall.SIGCONT))
	}
	return err
}

// suspend freezes or thaws the process, and returns when a freeze has taken effect.
func suspend(p *os.Process, on bool) error {
	if !on {
		return p.Signal(syscall.SIGCONT)
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(goneWithin); time.Now().Before(deadline); {
		if fields := statFields(p.Pid); len(fields) > 0 && fields[0] == "T" {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return fmt.Errorf("process %d did not stop within %s of SIGSTOP", p.Pid, goneWithin)
}
