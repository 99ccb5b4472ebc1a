package mutants

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// A graft is a source file with all its mutants in it, each of which sleeps until the environment
// names it. One program can then try all of them, which saves compiling and linking one for each.

// wakeUp is the variable in the environment that names a mutant by its number.
const wakeUp = "ROLLCALL_MUTANT"

// helpers is what grafted files call. Number 0 is no mutant.
const helpers = `package %s

import (
	"cmp"
	"os"
	"strconv"
)

var mutantAwake, _ = strconv.Atoi(os.Getenv("` + wakeUp + `"))

type mutantNumber interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 |
		~uintptr | ~float32 | ~float64
}

type mutantInteger interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 |
		~uintptr
}

func mutantIs(n int) bool { return n != 0 && n == mutantAwake }

func mutantNot(negated, _ int, is bool) bool { return is != mutantIs(negated) }

func mutantLess[T cmp.Ordered](negated, moved int, a, b T) bool {
	return mutantNot(negated, 0, a < b || mutantIs(moved) && a == b)
}

func mutantLessOrEqual[T cmp.Ordered](negated, moved int, a, b T) bool {
	return mutantNot(negated, 0, a <= b && !(mutantIs(moved) && a == b))
}

func mutantMore[T cmp.Ordered](negated, moved int, a, b T) bool {
	return mutantLess(negated, moved, b, a)
}

func mutantMoreOrEqual[T cmp.Ordered](negated, moved int, a, b T) bool {
	return mutantLessOrEqual(negated, moved, b, a)
}

func mutantAdd[T mutantNumber](n int, a, b T) T {
	if mutantIs(n) {
		return a - b
	}
	return a + b
}

func mutantSubtract[T mutantNumber](n int, a, b T) T {
	if mutantIs(n) {
		return a + b
	}
	return a - b
}

func mutantMultiply[T mutantNumber](n int, a, b T) T {
	if mutantIs(n) {
		return a / b
	}
	return a * b
}

func mutantDivide[T mutantNumber](n int, a, b T) T {
	if mutantIs(n) {
		return a * b
	}
	return a / b
}

func mutantRemainder[T mutantInteger](n int, a, b T) T {
	if mutantIs(n) {
		return a * b
	}
	return a %% b
}

func mutantMinus[T mutantNumber](n int, minus T) T {
	if mutantIs(n) {
		return -minus
	}
	return minus
}
`

var compared = map[token.Token]string{
	token.LSS: "mutantLess", token.LEQ: "mutantLessOrEqual",
	token.GTR: "mutantMore", token.GEQ: "mutantMoreOrEqual",
}

var computed = map[token.Token]string{
	token.ADD: "mutantAdd", token.SUB: "mutantSubtract", token.MUL: "mutantMultiply",
	token.QUO: "mutantDivide", token.REM: "mutantRemainder",
}

// edit replaces a part of the source, which may be empty. Of those at one place the lower rank
// comes first.
type edit struct {
	from, to, rank int
	text           string
}

// grafted is a file with mutants in it.
type grafted struct {
	source, pkg string
	spans       map[int][2]int // by mutant: the first and last line of the expression around it
}

// has reports whether a line is of the expression that has a mutant. Where one over many lines does
// not compile, it is any of them that the compiler names.
func (g *grafted) has(mutant, line int) bool {
	lines := g.spans[mutant]
	return lines[0] <= line && line <= lines[1]
}

// graft puts mutants into the source of their file. number returns the number of one, and 0 if it
// is to be left out.
func graft(source, file string, number func(Mutant) int, all []Mutant) (*grafted, error) {
	files := token.NewFileSet()
	tree, err := parser.ParseFile(files, file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	spans := map[int][2]int{}
	numbers := map[[2]int]map[string]int{} // by line and column, then by type
	for _, m := range all {
		if at := [2]int{m.Number, m.Column}; m.File == file && number(m) != 0 {
			if numbers[at] == nil {
				numbers[at] = map[string]int{}
			}
			numbers[at][m.Type] = number(m)
		}
	}
	var edits []edit
	// wrap puts a call around a node and, unless op is empty, a comma in the operator's place. What
	// is around others comes first before them and last after them.
	wrap := func(node ast.Node, before string, at token.Pos, op, after string) {
		n := len(edits) + 1
		from, to := files.Position(node.Pos()).Offset, files.Position(node.End()).Offset
		edits = append(edits, edit{from, from, n, before}, edit{to, to, -n, after})
		if op != "" {
			from := files.Position(at).Offset
			edits = append(edits, edit{from, from + len(op), 0, ", "})
		}
	}
	ast.Inspect(tree, func(node ast.Node) bool {
		var at token.Pos
		switch node := node.(type) {
		case *ast.BinaryExpr:
			at = node.OpPos
		case *ast.UnaryExpr:
			at = node.OpPos
		case *ast.IncDecStmt:
			at = node.TokPos
		default:
			return true
		}
		place := files.Position(at)
		types := numbers[[2]int{place.Line, place.Column}]
		if types == nil {
			return true
		}
		for _, n := range types {
			spans[n] = [2]int{files.Position(node.Pos()).Line, files.Position(node.End()).Line}
		}
		comparison := fmt.Sprintf("(%d, %d, ", types["CONDITIONALS_NEGATION"],
			types["CONDITIONALS_BOUNDARY"])
		computation := fmt.Sprintf("(%d, ", types["ARITHMETIC_BASE"])
		switch node := node.(type) {
		case *ast.UnaryExpr:
			wrap(node, "mutantMinus"+computation, at, "", ")")
		case *ast.IncDecStmt:
			x := source[files.Position(node.X.Pos()).Offset:files.Position(node.X.End()).Offset]
			other := operators["INCREMENT_DECREMENT"][node.Tok.String()]
			wrap(node, fmt.Sprintf("func() { if mutantIs(%d) { %s%s } else { ",
				types["INCREMENT_DECREMENT"], x, other), at, "", " } }()")
		case *ast.BinaryExpr:
			switch {
			case compared[node.Op] != "":
				wrap(node, compared[node.Op]+comparison, at, node.Op.String(), ")")
			case computed[node.Op] != "":
				wrap(node, computed[node.Op]+computation, at, node.Op.String(), ")")
			default:
				wrap(node, "mutantNot"+comparison, at, "", ")")
			}
		}
		return true
	})
	slices.SortStableFunc(edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.rank, b.rank))
	})
	var out strings.Builder
	at := 0
	for _, e := range edits {
		out.WriteString(source[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.WriteString(source[at:])
	return &grafted{out.String(), tree.Name.Name, spans}, nil
}
