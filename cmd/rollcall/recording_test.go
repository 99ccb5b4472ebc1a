package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What was recorded before a machine went down, or the disk was full, answers; a note says that the
// last line is not whole.
func TestRecordingThatIsCutOff(t *testing.T) {
	path := writeFile(t, "cut.jsonl", containerLine("aaaa1111", "web", "")+
		`{"type":"set","source":"runtime","entity":{"kind":"contai`)
	r := rollcall(t, "ls", "--from", path)
	if r.code != 0 || !strings.Contains(r.out, "aaaa1111") ||
		r.err != "rollcall: "+path+":2: cut off: unexpected EOF: the last line is left out\n" {
		t.Errorf("%+v", r)
	}
	// In the middle it is an error, as any bad line is.
	path = writeFile(t, "bad.jsonl", `{"type":"set","source`+"\n"+
		containerLine("aaaa1111", "web", ""))
	if r := rollcall(t, "ls", "--from", path); r.code != 1 || !strings.Contains(r.err, ":1: ") {
		t.Errorf("%+v", r)
	}
}

// The first signal ends the reading of a recording that does not end.
func TestSignalEndsReadingARecording(t *testing.T) {
	for _, args := range [][]string{{"ls", "--from", "-"}, {"watch", "--from", "-"},
		{"replay", "/dev/zero"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			cmd := command(t, nil, append(args, "-v")...)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond) // it reads; nothing tells when it has begun to
			began := time.Now()
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if took := time.Since(began); took > 10*time.Second || cmd.ProcessState.ExitCode() < 0 {
				t.Errorf("it ended %s after the signal, by it: %v", took, cmd.ProcessState)
			}
		})
	}
}

// A recording is written down whole, or up to the last whole line.
func TestRecordOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	r := rollcall(t, "record", "/dev/full", "--force", "--from", shop)
	if r.code != 1 || !strings.Contains(r.err, "no space left on device") {
		t.Errorf("%+v", r)
	}
}

// Lines of -o json are whole, also those that many bundles make.
func TestWatchJSONOfARecording(t *testing.T) {
	r := rollcall(t, "watch", "-o", "json", "--from", shop)
	lines := bufio.NewScanner(strings.NewReader(r.out))
	for n := 1; lines.Scan(); n++ {
		if !json.Valid(lines.Bytes()) {
			t.Errorf("line %d: %s", n, lines.Text())
		}
	}
}
