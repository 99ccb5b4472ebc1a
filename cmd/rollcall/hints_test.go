package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
)

// TestHintsNameOptions: what the code tells people to set is there to be set. Within a hint each
// name_of_several_words is one of an option, elsewhere each group.name.
func TestHintsNameOptions(t *testing.T) {
	options, groups := map[string]bool{}, map[string]bool{}
	for _, o := range config.NewSchema(catalog.Collectors()).Options() {
		options[o.Name] = true
		if group, _, ok := strings.Cut(o.Name, "."); ok {
			groups[group] = true
		}
	}
	dotted := regexp.MustCompile(`(?:^|[ (])([a-z]+)\.([a-z_]+)(?:$|[ =;,):])`)
	words := regexp.MustCompile(`(?:^|[ (])([a-z]+(?:_[a-z]+)+)(?:$|[ =;,):])`)
	named := 0
	check := func(where token.Position, name string) {
		if named++; !options[name] && name != "disabled_plugins" { // an option of containerd
			t.Errorf("%s: there is no option %s", where, name)
		}
	}
	files := token.NewFileSet()
	read := func(path string) {
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		literals := func(n ast.Node, found func(text string, at token.Position)) {
			ast.Inspect(n, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
					if text, err := strconv.Unquote(l.Value); err == nil &&
						strings.Contains(text, " ") {
						found(text, files.Position(l.Pos()))
					}
				}
				return true
			})
		}
		hint := func(n ast.Node) {
			literals(n, func(text string, at token.Position) {
				for _, m := range words.FindAllStringSubmatch(text, -1) {
					check(at, m[1])
				}
			})
		}
		literals(file, func(text string, at token.Position) {
			for _, m := range dotted.FindAllStringSubmatch(text, -1) {
				if groups[m[1]] {
					check(at, m[1]+"."+m[2])
				}
			}
		})
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Hint" {
					hint(n.Value)
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					if s, ok := to.(*ast.SelectorExpr); ok && s.Sel.Name == "Hint" &&
						len(n.Rhs) == len(n.Lhs) {
						hint(n.Rhs[i])
					}
				}
			}
			return true
		})
	}
	for _, root := range []string{"../../comp", "../../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") &&
				!strings.HasSuffix(path, "_test.go") {
				read(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if named < 20 {
		t.Errorf("found %d names of options", named)
	}
}
