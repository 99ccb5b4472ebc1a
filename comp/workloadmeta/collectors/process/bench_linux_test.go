package process_test

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/prometheus/procfs"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
)

const crowd = 2000

// crowded returns a tree of 2,000 processes, half of them in 100 containers.
func crowded(b *testing.B) tree {
	tr := newTree(b)
	for i := range crowd - 1 {
		p := proc{pid: 100 + i, ppid: 1, comm: "worker", start: oldTicks + uint64(i),
			args: []string{"/usr/bin/worker", "--config", "/etc/worker.conf", "--listen",
				"0.0.0.0:8080"}, exe: "/usr/bin/worker", cwd: "/",
			cgroup: fmt.Sprintf("0::/system.slice/unit-%d.service\n", i%50)}
		if i%2 == 0 {
			p.cgroup = fmt.Sprintf("0::/system.slice/docker-%064x.scope\n", i%200)
		}
		tr.put(p)
	}
	return tr
}

type discard struct{ n int }

func (d *discard) Set(entities ...workloadmeta.Entity) { d.n = len(entities) }
func (d *discard) Unset(...workloadmeta.Entity)        {}
func (d *discard) Apply([]workloadmeta.CollectorEvent) {}
func (d *discard) Synced()                             {}
func (d *discard) Known(workloadmeta.EntityID) bool    { return false }

// BenchmarkPull is one pull: the first and a later one of 2,000 made-up processes, and a
// later one of the machine's own and 500 more. cpu-ns/op divided by entities is the cost
// of a process.
func BenchmarkPull(b *testing.B) {
	b.Run("steady", func(b *testing.B) {
		m := crowded(b).machine()
		c := process.NewWith(process.Options{}, m)
		benchmarkSteady(b, c)
	})
	b.Run("first", func(b *testing.B) {
		tr := crowded(b)
		b.ReportAllocs()
		for b.Loop() {
			if err := process.NewWith(process.Options{}, tr.machine()).Pull(b.Context(),
				&discard{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("real", func(b *testing.B) {
		children(b, 500)
		// nothing is young
		m := &machine{Machine: process.NewMachine("/proc"), clock: process.MakeClock(boot, 1<<62)}
		benchmarkSteady(b, process.NewWith(process.Options{}, m))
	})
}

// children starts processes that sleep until the benchmark ends.
func children(b *testing.B, n int) {
	for range n {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { end(cmd) })
	}
}

func benchmarkSteady(b *testing.B, c *process.Collector) {
	var d discard
	pull := func() {
		if err := c.Pull(b.Context(), &d); err != nil {
			b.Fatal(err)
		}
	}
	pull()
	pull()
	b.ReportAllocs()
	before := cpuTime(b)
	n := 0
	for b.Loop() {
		pull()
		n++
	}
	// Unlike the time that has passed, this does not depend on what else the machine does.
	b.ReportMetric(float64(cpuTime(b)-before)/float64(n), "cpu-ns/op")
	b.ReportMetric(float64(d.n), "entities")
}

func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkParseStat compares the two ways to read one stat file's content; "procfs"
// includes opening and reading it.
func BenchmarkParseStat(b *testing.B) {
	b.Run("here", func(b *testing.B) {
		content := []byte(proc{pid: 4173, comm: "sleep"}.statLine())
		var s process.Stat
		b.ReportAllocs()
		for b.Loop() {
			if err := process.ParseStat(content, &s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("here with reading", func(b *testing.B) {
		s, err := process.NewMachine("/proc").Open()
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		var st process.Stat
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Stat(int32(os.Getpid()), &st); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("procfs with reading", func(b *testing.B) {
		p, err := procfs.Self()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Stat(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
