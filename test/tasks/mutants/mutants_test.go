package mutants

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A report is judged against the source and the list of accepted survivors.
func TestScore(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("a.go", "package a\n\n\tif x < 1 | y {\n\tn++\n")
	path := write("report.json", `{"files":[{"file_name":"a.go","mutations":[
		{"type":"BOUNDARY","status":"LIVED","line":3},
		{"type":"NEGATION","status":"KILLED","line":3},
		{"type":"NEGATION","status":"TIMED OUT","line":3},
		{"type":"NEGATION","status":"NOT VIABLE","line":3},
		{"type":"INCREMENT","status":"NOT COVERED","line":4}]}]}`)
	score, err := Read(path, dir)
	if err != nil {
		t.Fatal(err)
	}
	if score.Caught != 2 || len(score.Survivors) != 2 || score.Percent() != 50 {
		t.Errorf("%+v, %.1f %%", score, score.Percent())
	}
	accepted, err := ReadAccepted(write("accepted", "# why\n\n"+filepath.ToSlash(dir)+
		"/a.go | BOUNDARY | if x < 1 | y { | x is never 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	score.Print(&out, accepted)
	if got := out.String(); strings.Contains(got, "BOUNDARY") ||
		!strings.Contains(got,
			"no test runs: "+filepath.ToSlash(dir)+"/a.go:4 | INCREMENT | n++") ||
		!strings.Contains(got, "2 caught, 2 survived (of them 1 with a reason): 50.0 % caught") {
		t.Errorf("printed:\n%s", got)
	}
	if _, err := ReadAccepted(write("bad", "a.go | BOUNDARY\n")); err == nil {
		t.Error("a line without a reason is accepted")
	}
}
