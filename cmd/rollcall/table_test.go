package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func render(t *testing.T, table *table, width int, color bool) string {
	t.Helper()
	var b strings.Builder
	if err := table.write(&b, width, color); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTableFitsTheTerminal(t *testing.T) {
	make := func() *table {
		return &table{
			columns: []tableColumn{{title: "ID", fixed: true}, {title: "NAME"},
				{title: "N", fixed: true, right: true}, {title: "TAGS"}},
			rows: [][]string{
				{"aaaabbbbcccc", "a-rather-long-name-of-a-thing", "7", "env:prod service:web version:1.2.3"}, {"dddd", "é", "12", ""}},
		}
	}
	want := `ID            NAME                            N  TAGS
aaaabbbbcccc  a-rather-long-name-of-a-thing   7  env:prod service:web version:1.2.3
dddd          é                              12
`
	if got := render(t, make(), 0, false); got != want {
		t.Errorf("without a terminal:\n%swant\n%s", got, want)
	}
	want = `ID            NAME            N  TAGS
aaaabbbbcccc  a-rather-lon…   7  env:prod ser…
dddd          é              12
`
	if got := render(t, make(), 46, false); got != want {
		t.Errorf("with 46 columns:\n%swant\n%s", got, want)
	}
}

// Whatever the cells hold: lines are as many as rows, have no control characters, and fit if the
// columns that may be cut leave room.
func TestTableOfAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(rt, "columns")
		tab := &table{}
		for range n {
			tab.columns = append(tab.columns, tableColumn{title: "TITLE"})
		}
		for range rapid.IntRange(0, 4).Draw(rt, "rows") {
			row := make([]string, n)
			for i := range row {
				row[i] = rapid.OneOf(rapid.String(),
					rapid.StringMatching(`[ -~\x00-\x1f]{0,60}`)).Draw(rt, "cell")
			}
			tab.rows = append(tab.rows, row)
		}
		rows := len(tab.rows)
		got := render(t, tab, 60, false)
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		if len(lines) != rows+1 {
			rt.Fatalf("%d lines for %d rows: %q", len(lines), rows, got)
		}
		for _, line := range lines {
			if strings.ContainsFunc(line, isControl) || utf8.RuneCountInString(line) > 60 {
				rt.Fatalf("line %q", line)
			}
		}
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":           "plain",
		"a\x1b[31mred":    `a\u001b[31mred`,
		"two\nlines\t!":   `two\nlines\t!`,
		"right\u202eleft": `right\u202eleft`,
		"bad\xff":         "bad\ufffd",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestYAMLSaysTheSameAsJSON(t *testing.T) {
	got, err := toYAML(
		[]byte(`{"b":"1","a":[],"c":{},"d":["true",true,null,1.5,"x: y","two\nlines"],"e":"<&>"}`))
	want := "b: \"1\"\na: []\nc: {}\nd:\n  - \"true\"\n  - true\n  - null\n  - 1.5\n  - 'x: y'\n  - |-\n    two\n    lines\ne: <&>\n"
	if err != nil || string(got) != want {
		t.Errorf("toYAML() = %v\n%s\nwant\n%s", err, got, want)
	}
}

// On a narrow terminal what people came for keeps its room.
func TestNarrowTables(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		// The names, and the ends of the images.
		{"ls container --width 80", `CONTAINER     NAME   IMAGE                  RUNTIME     TAGS
9b1d0e779b1d  cart   ….com/shop/cart:1.4.2  containerd  env:prod service:cart v…
c41f2277c41f  proxy  …voyproxy/envoy:v1.31  containerd  env:prod service:cart v…
3f0c9a1b3f0c  web    nginx:1.27             docker      env:prod service:web do…
(in each row: STATE running, AGE 2h; no room for PID, OWNER; --width 0 shows all)
`},
	} {
		r := rollcall(t, append(strings.Fields(tc.line), "--from", shop)...)
		if r.out != tc.want {
			t.Errorf("%s:\n%swant\n%s", tc.line, r.out, tc.want)
		}
	}
	for line, wants := range map[string][]string{
		"explain web --width 80": {"service:web ", "docker_image:nginx:1.27 ",
			"container_name:web "},
		"tags --width 80": {"container_id://3f0c9a1b3f0c  web ",
			"container_id://9b1d0e779b1d  cart ",
			"shop/cart-7d9c5b8f6-"},
		"rules list --width 80 --config testdata/rules.yaml": {`envoyproxy/*}`,
			"rules[1]", "rules.yaml:3)"},
	} {
		r := rollcall(t, append(strings.Fields(line), "--from", shop)...)
		for _, want := range wants {
			if !strings.Contains(r.out, want) {
				t.Errorf("%s does not show %q:\n%s", line, want, r.out)
			}
		}
		for out := range strings.Lines(r.out) {
			if utf8.RuneCountInString(out) > 81 && !strings.HasPrefix(out, "(") &&
				!strings.HasPrefix(out, "container_id://") {
				t.Errorf("%s: wider than 80: %s", line, out)
			}
		}
	}
}

// A title is cut only where there is no other way.
func TestTitlesKeepTheirRoom(t *testing.T) {
	long := strings.Repeat("x", 60)
	for width, want := range map[int]bool{112: true, 40: true, 18: false} {
		var b strings.Builder
		table := &table{columns: []tableColumn{{title: "VALUE", rank: 1}, {title: "OTHERS SAY"}},
			rows: [][]string{{long, long}}}
		if err := table.write(&b, width, false); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), "OTHERS SAY\n"); got != want {
			t.Errorf("width %d:\n%s", width, b.String())
		}
	}
}
