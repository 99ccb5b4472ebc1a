package proclang_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/pkg/proclang"
)

func TestGoDetector(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := proclang.NewGoDetector(0)
	for range 2 { // read, then remembered
		got, err := d.Detect(self)
		if err != nil || got.Name != proclang.Go ||
			!strings.HasPrefix("go"+got.Version, runtime.Version()) {
			t.Fatalf("Detect of this test = %+v, %v; want go %s", got, err, runtime.Version())
		}
	}

	dir := t.TempDir()
	for name, content := range map[string]string{
		"script": "#!/bin/sh\n", "empty": "", "elf": "\x7fELF", "elf64": "\x7fELF\x02\x01\x01" +
			strings.Repeat("\x00", 57), "pe": "MZ" + strings.Repeat("\xff", 200),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := d.Detect(path); got != (proclang.Language{}) || err != nil {
				t.Errorf("Detect of %s = %+v, %v; want neither", name, got, err)
			}
		}
	}

	if _, err := d.Detect(filepath.Join(dir, "gone")); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "gone") {
		t.Errorf("Detect of a missing file: %v", err)
	}
	if _, err := d.Detect(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Detect of a folder: %v", err)
	}
}

// A file that is replaced by another one, or rewritten, has a new answer even
// if it keeps its inode.
func TestGoDetectorSeesRewrittenFiles(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "app")
	d := proclang.NewGoDetector(10)
	for i, step := range []struct {
		content []byte
		want    string
	}{{[]byte("#!/bin/sh\n"), ""}, {binary, proclang.Go}, {[]byte("#!/bin/bash\n"), ""}} {
		if err := os.WriteFile(path, step.content, 0o600); err != nil {
			t.Fatal(err)
		}
		stamp := time.Unix(1_700_000_000+int64(i), 0)
		if err := os.Chtimes(path, stamp, stamp); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Detect(path); got.Name != step.want || err != nil {
			t.Fatalf("step %d: %+v, %v; want %q", i, got, err, step.want)
		}
	}
}

func TestGoDetectorConcurrently(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := proclang.NewGoDetector(1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got, err := d.Detect(self); got.Name != proclang.Go || err != nil {
					t.Errorf("Detect = %+v, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzGoDetector feeds damaged binaries; none may crash or fail the detector.
func FuzzGoDetector(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"))
	f.Add([]byte("MZ"))
	f.Add([]byte("\xfe\xed\xfa\xcf"))
	path := filepath.Join(f.TempDir(), "app")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := proclang.NewGoDetector(1).Detect(path)
		if err != nil || got.Name != "" && got.Name != proclang.Go {
			t.Fatalf("Detect = %+v, %v", got, err)
		}
	})
}

// What is remembered is not read again: a change that leaves no trace in the
// file's metadata goes unseen.
func TestGoDetectorRemembers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no identity to remember them by")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	other := []byte(strings.Repeat("x", len(binary)))
	stamp := time.Unix(1_700_000_000, 0)
	for _, first := range []struct {
		content, then []byte
		want          string
	}{{binary, other, proclang.Go}, {other, binary, ""}} {
		path := filepath.Join(t.TempDir(), "app")
		d := proclang.NewGoDetector(10)
		for _, content := range [][]byte{first.content, first.then} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, stamp, stamp); err != nil {
				t.Fatal(err)
			}
			if got, err := d.Detect(path); got.Name != first.want || err != nil {
				t.Fatalf("Detect = %+v, %v; want %q", got, err, first.want)
			}
		}
	}
}
