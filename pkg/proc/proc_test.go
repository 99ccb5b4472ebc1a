package proc_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/pkg/proc"
)

const (
	table = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.88.0.9
        /32 host LOCAL
     |-- 10.88.255.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
Local:
     |-- 10.88.0.9
        /32 host LOCAL
`
	sixes = `fe80000000000000 0c 40 20 80 eth0
fd000251000700000000000000000002 0c 40 00 80 eth0
fe800000000000000000000000000001 0c 40 20 80 eth0
00000000000000000000000000000001 01 80 10 80 lo
`
)

// put makes a file of a process.
func put(t *testing.T, root, name, content string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAddresses(t *testing.T) {
	root := t.TempDir()
	put(t, root, "7/net/fib_trie", table)
	put(t, root, "7/net/if_inet6", sixes)
	v4, v6 := proc.New(root).Addresses(7)
	if fmt.Sprint(v4, v6) != "[10.88.0.9] [fd00:251:7::2]" {
		t.Errorf("addresses = %v %v", v4, v6)
	}
	if v4, v6 := proc.New(root).Addresses(8); v4 != nil || v6 != nil {
		t.Errorf("addresses of nobody = %v %v", v4, v6)
	}
}

func TestStarted(t *testing.T) {
	root, now := t.TempDir(), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	put(t, root, "7/stat", realStat)
	put(t, root, "uptime", "3600.00 7000.1\n")
	at, err := proc.New(root).Started(7, now)
	if want := time.Date(2026, 11, 22, 11, 36, 24, 550e6, time.UTC); err != nil || !at.Equal(want) {
		t.Errorf("started %v, %v; want %v", at, err, want)
	}
	if _, err := proc.New(root).Started(8, now); !proc.IsGone(err) {
		t.Errorf("a process that is not there: %v", err)
	}
	for _, uptime := range []string{"", "x", "-1", "NaN", "1e300"} {
		put(t, root, "uptime", uptime)
		if at, err := proc.New(root).Started(7, now); err == nil {
			t.Errorf("uptime %q: started %v", uptime, at)
		}
	}
}

func TestParseNamespace(t *testing.T) {
	if inode, err := proc.ParseNamespace("net:[4026531840]", "net"); err != nil ||
		inode != 4026531840 {
		t.Errorf("inode %d, %v", inode, err)
	}
	for _, link := range []string{"", "net:[]", "net:[1", "net:1]", "pid:[1]", "net:[-1]"} {
		if inode, err := proc.ParseNamespace(link, "net"); err == nil {
			t.Errorf("%q is namespace %d", link, inode)
		}
	}
}

// The kernel that runs the test says what the parsers expect.
func TestThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no proc file system")
	}
	before := time.Now()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	fs, pid := proc.New("/proc"), cmd.Process.Pid
	s, err := fs.Stat(pid)
	if err != nil || int(s.PPID) != os.Getpid() {
		t.Errorf("stat = %+v, %v", s, err)
	}
	at, err := fs.Started(pid, time.Now())
	if err != nil || at.Before(before.Add(-2*time.Second)) ||
		at.After(time.Now().Add(2*time.Second)) {
		t.Errorf("started %v, %v, %v after the beginning", at, err, at.Sub(before))
	}
	own, err := fs.Namespace(os.Getpid(), "net")
	if child, err2 := fs.Namespace(pid, "net"); err != nil || err2 != nil || own != child {
		t.Errorf("network %d and %d, %v, %v", own, child, err, err2)
	}
	if comm, err := fs.Comm(os.Getpid()); err != nil || comm == "" {
		t.Errorf("comm %q, %v", comm, err)
	}
}

func FuzzUptime(f *testing.F) {
	f.Add([]byte("3600.00 7000.1\n"), "net:[4026531840]")
	f.Add([]byte("-0"), "net:[")
	f.Fuzz(func(t *testing.T, content []byte, link string) {
		if d, err := proc.ParseUptime(content); err == nil && d < 0 {
			t.Errorf("uptime %v of %q", d, content)
		}
		if inode, err := proc.ParseNamespace(link, "net"); err == nil &&
			!strings.Contains(link, strings.TrimLeft(fmt.Sprint(inode), "0")) {
			t.Errorf("namespace %d of %q", inode, link)
		}
	})
}

func FuzzAddresses(f *testing.F) {
	f.Add([]byte(table), []byte(sixes))
	f.Add([]byte("|-- 1.2.3.4\n/32 host LOCAL"),
		[]byte(strings.Repeat("f", 32)+" 02 40 00 80 eth0"))
	f.Fuzz(func(t *testing.T, v4, v6 []byte) {
		for _, a := range proc.ParseFibTrie(v4) {
			if !a.Is4() || a.IsLoopback() {
				t.Errorf("address %v", a)
			}
		}
		for _, a := range proc.ParseInet6(v6) {
			if !a.Is6() {
				t.Errorf("address %v", a)
			}
		}
	})
}
