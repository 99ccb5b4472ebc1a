package realnode

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// folderPrefix starts the name of every instance's folder. It is this short because a Unix socket's
// path has at most 108 bytes.
const folderPrefix = "rn"

// ownerFile is in every instance's folder and names the process that made it: its id, its start
// time and the namespace in which the id counts.
const ownerFile = "realnode-owner"

// sweepOnce makes each process look for abandoned instances once.
var sweepOnce sync.Once

// newFolder makes an instance's folder and marks it as ours. An empty dir means a new temporary
// folder.
func newFolder(dir string) (string, error) {
	sweepOnce.Do(sweepAbandoned)
	var err error
	if dir == "" {
		if dir, err = os.MkdirTemp("", folderPrefix); err != nil {
			return "", fmt.Errorf("make a folder for daemons: %w", err)
		}
	} else if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("make a folder for daemons: %w", err)
	}
	// Daemons report resolved paths in mount tables; ours must be comparable with them.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", fmt.Errorf("make a folder for daemons: %w", err)
	}
	if longest := len(dir) + len("/containerd.sock.ttrpc"); longest > 107 {
		return "", fmt.Errorf(
			"folder %s: a socket in it would have a path of %d bytes, the limit is 107", dir,
			longest)
	}
	owner := fmt.Sprintf("%d %s %s", os.Getpid(), startTime(os.Getpid()), pidNamespace())
	if err := os.WriteFile(filepath.Join(dir, ownerFile), []byte(owner), 0o600); err != nil {
		return "", fmt.Errorf("mark the folder for daemons: %w", err)
	}
	return dir, nil
}

// groupName is the name of what an instance has in folders that all share: its control group, and
// its network in what the CNI remembers.
func groupName(dir string) string { return "rollcall-" + filepath.Base(dir) }

// removeFolder ends what still runs from the folder, unmounts what is mounted under it, and removes
// it.
func removeFolder(dir string) error {
	err := endLeftovers(dir)
	if err == nil {
		// Only now: removing files below a mount that is still there would reach into it.
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("remove the daemons' folder %s: %w", dir, err)
	}
	return nil
}

// sweepAbandoned removes the instances whose test process is gone without having cleaned up, as
// after a test time-out or SIGKILL. A folder that cannot be removed stays for the next attempt.
func sweepAbandoned() {
	owners, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*", ownerFile))
	for _, path := range owners {
		content, err := os.ReadFile(path)
		if err != nil || !ownFolder(filepath.Dir(path)) {
			continue // the folder for temporary files is open to every user
		}
		owner := strings.Split(string(content), " ")
		if len(owner) != 3 || owner[2] != pidNamespace() {
			// not ours to judge: it may be alive in another container that shares this folder
			continue
		}
		if pid, err := strconv.Atoi(owner[0]); err != nil || startTime(pid) == owner[1] {
			continue
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			continue
		}
		if err := removeFolder(dir); err != nil {
			fmt.Fprintf(os.Stderr, "realnode: an earlier test process left daemons behind: %v\n",
				err)
		}
	}
}

// pidNamespace names the namespace of process ids that this process sees.
func pidNamespace() string {
	name, _ := os.Readlink("/proc/self/ns/pid")
	return name
}

// removeIfThere removes files that may be missing.
func removeIfThere(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
