package lint

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTracesPage: docs/traces.md has each span that is begun and each attribute that is set, and no
// other.
func TestTracesPage(t *testing.T) {
	made := map[string]bool{}
	for _, dir := range []string{"intake", "delivery"} {
		for _, f := range parseAll(t, filepath.Join("..", "..", dir)) {
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				s, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				of, _ := s.X.(*ast.Ident)
				switch {
				case s.Sel.Name == "Start" && len(call.Args) >= 2:
					made[literal(call.Args[1])] = true
				case of != nil && of.Name == "attribute" && len(call.Args) == 2:
					made[literal(call.Args[0])] = true
				}
				return true
			})
		}
	}
	delete(made, "")
	if len(made) < 8 {
		t.Fatalf("only %d names are found: are they still read?", len(made))
	}
	told := map[string]bool{}
	rows := regexp.MustCompile("(?m)^\\|.*\\|$").FindAllString(page(t, "traces.md"), -1)
	for _, row := range rows {
		for _, m := range regexp.MustCompile("`([a-z .]+)`").FindAllStringSubmatch(row, -1) {
			told[m[1]] = true
		}
	}
	same(t, "docs/traces.md", made, told)
}

// TestExitStatusesPage: docs/exit-statuses.md has those that errors carry, and no other.
func TestExitStatusesPage(t *testing.T) {
	made := map[string]bool{"0": true}
	for _, f := range parseAll(t, filepath.Join("..", "..", "operate", "admin", "api")) {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if n, ok := v.Values[0].(*ast.BasicLit); ok &&
					strings.HasPrefix(v.Names[0].Name, "Exit") {
					made[n.Value] = true
				}
			}
		}
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(
		page(t, "exit-statuses.md"), -1) {
		told[m[1]] = true
	}
	if len(made) < 8 {
		t.Fatalf("only %d statuses are found: are they still read?", len(made))
	}
	same(t, "docs/exit-statuses.md", made, told)
}

func same(t *testing.T, page string, made, told map[string]bool) {
	t.Helper()
	for name := range made {
		if !told[name] {
			t.Errorf("%s does not tell of %q", page, name)
		}
	}
	for name := range told {
		if !made[name] {
			t.Errorf("%s tells of %q, which is nowhere", page, name)
		}
	}
}

// TestRunbookNamesWhatThereIs: each metric that the runbook and the page on sizes name is in the
// reference, and each command is one of the program's.
func TestRunbookNamesWhatThereIs(t *testing.T) {
	reference := page(t, "metrics.md")
	rows := commandNames(t)
	for _, name := range []string{"runbook.md", "sizing.md"} {
		text := page(t, name)
		for _, m := range regexp.MustCompile(`postroad_[a-z0-9_]+`).FindAllString(text, -1) {
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				m = strings.TrimSuffix(m, suffix)
			}
			if !strings.Contains(reference, "`"+m+"`") {
				t.Errorf("docs/%s names %s, which is no metric", name, m)
			}
		}
		command := regexp.MustCompile("(?m)(?:^    |`)postroad ([a-z]+)(?: ([a-z]+))?")
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			sub, known := rows[m[1]]
			if !known || m[2] != "" && len(sub) > 0 && !slices.Contains(sub, m[2]) {
				t.Errorf("docs/%s has %q, which is no command", name, strings.TrimSpace(m[0]))
			}
		}
	}
}

// commandNames reads the rows of the command line: names, and those of their subcommands.
func commandNames(t *testing.T) map[string][]string {
	t.Helper()
	rows := map[string][]string{}
	for _, dir := range []string{"cmd/postroad", "bench/command", "bench/demo"} {
		for _, f := range parseAll(t, filepath.Join("..", "..", filepath.FromSlash(dir))) {
			var names []string
			ast.Inspect(f, func(n ast.Node) bool {
				if kv, ok := n.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Name" {
						if v, err := strconv.Unquote(valueOf(kv.Value)); err == nil {
							names = append(names, v)
						}
					}
				}
				return true
			})
			for _, name := range names {
				rows[name] = append(rows[name], names...)
			}
		}
	}
	all := []string{}
	for name := range rows {
		all = append(all, name)
	}
	for name := range rows { // groups and their verbs stand in different files
		rows[name] = all
	}
	if len(rows) < 30 {
		t.Fatalf("only %d commands are found: are they still read?", len(rows))
	}
	return rows
}

func valueOf(e ast.Expr) string {
	if v, ok := e.(*ast.BasicLit); ok {
		return v.Value
	}
	return ""
}
