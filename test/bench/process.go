package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// watchIdle is how long the processes have nothing to do. In it falls one scan of the machine's
// processes, which is every 10 s, and the comparison with the daemon's list 10 s after the start.
const watchIdle = 10 * time.Second

// watchProcess measures "rollcall watch" as a process of its own, beside a fake Docker daemon on
// whose containers nothing happens. All collectors that find something take part, so the processes
// of this machine are in it. The budgets are the goals for the whole agent on a node with 110 and
// with 500 pods: 40 and 80 MiB, and 0.5 % of a core. The build is not part of what is measured.
func watchProcess() []row {
	if runtime.GOOS != "linux" {
		return nil // no /proc to read it from
	}
	dir, err := os.MkdirTemp("", "bench")
	must(err)
	defer os.RemoveAll(dir) //nolint:errcheck // a folder in /tmp
	program := filepath.Join(dir, "rollcall")
	build := exec.Command("go", "build", "-o", program, "./cmd/rollcall")
	build.Stderr = os.Stderr
	must(build.Run())

	sizes := []struct {
		containers int
		mib        float64
	}{{100, 40}, {500, 80}}
	watchers := make([]*watcher, len(sizes))
	for i, size := range sizes {
		watchers[i] = startWatch(program, size.containers)
		defer watchers[i].stop()
	}
	time.Sleep(time.Second) // what the start has left to do
	began := time.Now()
	for _, w := range watchers {
		w.cpuBefore = w.cpu()
	}
	time.Sleep(watchIdle)
	var rows []row
	for i, w := range watchers {
		label := fmt.Sprintf("rollcall watch, %d containers: ", sizes[i].containers)
		percent := 100 * (w.cpu() - w.cpuBefore).Seconds() / time.Since(began).Seconds()
		rows = append(rows,
			bounded(label+"resident memory", w.resident()/(1<<20), "MiB", sizes[i].mib),
			bounded(label+"CPU while idle", percent, "% of a core", 0.5))
	}
	return rows
}

// watcher is a running "rollcall watch".
type watcher struct {
	cmd       *exec.Cmd
	daemon    *fakeRuntime
	printed   chan error // what became of its output
	cpuBefore time.Duration
}

// startWatch returns when the program has printed all containers.
func startWatch(program string, containers int) *watcher {
	w := &watcher{daemon: startRuntime(dockerDaemon(containers)), printed: make(chan error, 1)}
	w.cmd = exec.Command(program, "watch", "--config", os.DevNull,
		"--docker-host", "unix://"+w.daemon.address,
		"--set", "collectors.containerd=off", "--set", "collectors.podman=off",
		"--set", "collectors.cri=off")
	w.cmd.Env = []string{} // nothing of whoever runs this
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	must(err)
	must(w.cmd.Start())
	all := make(chan struct{})
	go func() {
		left := containers
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			// "15:04:05 = container 0123456789ab …"
			if f := strings.Fields(lines.Text()); len(f) > 2 && f[2] == "container" {
				if left--; left == 0 {
					close(all)
				}
			}
		}
		w.printed <- lines.Err()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	select {
	case <-all:
	case err := <-w.printed:
		must(fmt.Errorf("%s ended early: %w", w.cmd, errors.Join(io.ErrUnexpectedEOF, err)))
	case <-ctx.Done():
		must(fmt.Errorf("%s does not print %d containers: %w", w.cmd, containers, ctx.Err()))
	}
	return w
}

func (w *watcher) stop() {
	must(w.cmd.Process.Signal(os.Interrupt))
	must(<-w.printed)
	must(w.cmd.Wait())
	w.daemon.stop()
}

// cpu returns the time for which the process has run.
func (w *watcher) cpu() time.Duration {
	data := w.proc("stat")
	// The fields after the name, which may have blanks and is in brackets, are state and on.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	const utime, stime, tick = 14 - 3, 15 - 3, 10 * time.Millisecond
	user, err := strconv.Atoi(fields[utime])
	must(err)
	system, err := strconv.Atoi(fields[stime])
	must(err)
	return time.Duration(user+system) * tick
}

// resident returns the memory that the process has, in bytes.
func (w *watcher) resident() float64 {
	for line := range strings.Lines(string(w.proc("status"))) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			must(err)
			return float64(kb) * 1024
		}
	}
	panic("no VmRSS")
}

func (w *watcher) proc(file string) []byte {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", w.cmd.Process.Pid, file))
	must(err)
	return data
}
