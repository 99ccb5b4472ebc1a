// Package api_test shows when the Go API changes that programs outside build on.
package api_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the listings anew")

// Packages whose API is a promise: docs/embedding.md says so.
var packages = []string{
	"comp/agent", "comp/inspect", "comp/tagger", "comp/tagger/taggertest", "comp/workloadmeta",
	"comp/workloadmeta/collection", "comp/workloadmeta/collectortest",
	"comp/workloadmeta/recording", "comp/workloadmeta/store",
}

func TestTheAPIIsAContract(t *testing.T) {
	for _, name := range packages {
		t.Run(name, func(t *testing.T) {
			got := listing(t, filepath.Join("..", "..", filepath.FromSlash(name)))
			path := filepath.Join("testdata", strings.ReplaceAll(name, "/", "_")+".txt")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; go test ./test/api -update makes it", err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf(
					"the API differs from its listing; if the change is meant, say so in CHANGELOG.md and run "+
						"go test ./test/api -update (-want +got):\n%s", diff)
			}
		})
	}
}

// listing returns all that a package exports, without comments.
func listing(t *testing.T, dir string) []byte {
	t.Helper()
	linux := build.Default // whatever this machine is
	linux.GOOS, linux.GOARCH = "linux", "amd64"
	pkg, err := linux.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(dir, name), nil,
			parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	p, err := doc.NewFromFiles(fset, files, dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	add := func(node ast.Node) {
		var b bytes.Buffer
		if err := printer.Fprint(&b, fset, node); err != nil {
			t.Fatal(err)
		}
		out = append(out, b.String())
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			add(v.Decl)
		}
	}
	funcs := func(list []*doc.Func) {
		for _, f := range list {
			add(f.Decl)
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, typ := range p.Types {
		add(typ.Decl)
		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
	}
	slices.Sort(out)
	return []byte(strings.Join(out, "\n\n") + "\n")
}
