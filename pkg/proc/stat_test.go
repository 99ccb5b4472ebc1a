package proc_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/proc"
)

const (
	// Recorded from Linux 6.18.
	realStat = "4173 (sleep) S 4171 4171 4171 0 -1 4194304 78 0 0 0 0 0 0 0 20 0 1 0 218455 5656576 462 18446744073709551615 " +
		"94350613549056 94350613566137 140729265131280 0 0 0 0 0 0 1 0 0 17 0 0 0 0 0 0 94350613578832 94350613580188 " +
		"94350968635392 140729265138021 140729265138031 140729265138031 140729265143785 0\n"
	realKernelThread = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 3 0 0 20 0 1 0 22 0 0 18446744073709551615 0 0 0 0 0 0 0 " +
		"2147483647 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
	realZombie = "4309 (sh) Z 4308 4171 4171 0 -1 4228364 70 0 0 0 0 0 0 0 20 0 1 0 221000 0 0 18446744073709551615 0 0 0 0 " +
		"0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, content string
		comm          string
		ppid          int32
		state         byte
		start, stack  uint64
		process       bool
	}{
		{"ordinary", realStat, "sleep", 4171, 'S', 218455, 140729265131280, true},
		{"kernel thread", realKernelThread, "kthreadd", 0, 'S', 22, 0, false},
		{"zombie", realZombie, "sh", 4308, 'Z', 221000, 0, false},
		{"main thread gone", strings.Replace(realZombie, " 20 0 1 0 221000", " 20 0 7 0 221000", 1), "sh", 4308, 'Z', 221000, 0, true},
		{"parentheses and spaces", strings.Replace(realStat, "(sleep)", "(a) (b 1 2)", 1), "a) (b 1 2", 4171, 'S', 218455, 140729265131280, true},
		{"line break", strings.Replace(realStat, "(sleep)", "(a\n1 (x) S)", 1), "a\n1 (x) S", 4171, 'S', 218455, 140729265131280, true},
		{"no name", strings.Replace(realStat, "(sleep)", "()", 1), "", 4171, 'S', 218455, 140729265131280, true},
		{"ends after the start", "7 (x) R 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 99", "x", 1, 'R', 99, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s proc.Stat
			if err := proc.ParseStat([]byte(tt.content), &s); err != nil {
				t.Fatal(err)
			}
			if string(s.Comm) != tt.comm || s.PPID != tt.ppid || s.State != tt.state ||
				s.Start != tt.start || s.Stack != tt.stack {
				t.Errorf("got %q, parent %d, state %c, start %d, stack %d", s.Comm, s.PPID, s.State,
					s.Start, s.Stack)
			}
			if got := s.IsProcess(); got != tt.process {
				t.Errorf("IsProcess() = %v", got)
			}
		})
	}
}

func TestParseStatErrors(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"empty", "", "no name"},
		{"never closed", "1 (sleep", "no name"},
		{"closed before opened", "1 )(", "no name"},
		{"ends after the name", "1 (a)", "field 3"},
		{"ends before the start", "1 (a) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 ", "field 22"},
		{"negative parent", "1 (a) S -1 0", `field 4 is "-1"`},
		{"parent out of range", "1 (a) S 2147483648 0", `field 4 is "2147483648"`},
		{"start out of range", "1 (a) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 18446744073709551616", "field 22"},
		{"start not a number", "1 (a) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 x9", `field 22 is "x9"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := proc.ParseStat([]byte(tt.content), &proc.Stat{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not tell %q", err, tt.want)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	for _, s := range []string{realStat, realKernelThread, realZombie, "1 (a)", "1 (a) (b) S 1",
		")(", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		before := string(content)
		var s proc.Stat
		err := proc.ParseStat(content, &s)
		if string(content) != before {
			t.Fatal("the content was written to")
		}
		if err != nil {
			return
		}
		if !strings.Contains(before, "("+string(s.Comm)+")") {
			t.Errorf("%q does not hold the name %q", before, s.Comm)
		}
		if s.PPID < 0 {
			t.Errorf("parent %d", s.PPID)
		}
	})
}
