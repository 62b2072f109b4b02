package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// sleeps returns where a file calls time.Sleep.
func sleeps(file *ast.File) (at []token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Sleep" {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
			at = append(at, call.Pos())
		}
		return true
	})
	return at
}

// TestNoTestSleeps: a test that waits for time to pass is slow when it need not be and fails when
// the machine is slow. In a bubble of testing/synctest time is virtual, so packages whose tests run
// in bubbles may sleep there.
func TestNoTestSleeps(t *testing.T) {
	all := tree(t)
	bubbles := map[string]bool{}
	for _, s := range all {
		if s.test && slices.Contains(s.imports, "testing/synctest") {
			bubbles[s.pkg] = true
		}
	}
	for _, s := range all {
		if !s.test || bubbles[s.pkg] {
			continue
		}
		for _, pos := range sleeps(s.file) {
			t.Errorf(
				"%s: a test sleeps: wait for the event itself (a channel, a condition), or run "+
					"in a bubble of testing/synctest", s.fset.Position(pos))
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "x.go",
		"package x\nfunc f() { time.Sleep(1); other.Sleep(1) }", 0)
	if err != nil || len(sleeps(file)) != 1 {
		t.Errorf("the rule does not find a sleep: %v", err)
	}
}
