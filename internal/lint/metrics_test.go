package lint

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsHead = `# Metrics

Made from the code: ` + "`go test ./internal/lint -run MetricsReference -update`" + `.

The path ` + "`/metrics`" + ` has them in the form of Prometheus, and ` + "`telemetry.otlp`" + ` names
where they are sent. A counter begins at 0 with the process. Figures of queues are those of the
groups that the node owns, so that the sum over all nodes counts everything once. A label has the
values that are listed; there are never many. A histogram has its buckets, ` + "`_sum`" + ` and ` + "`_count`" + `, as
Prometheus has them. What is counted by domain, tenant and reason is looked through once a minute,
and more rarely when the queue is long.

Beside these there are ` + "`go_*` and `process_*`" + ` of Prometheus's Go client: memory
(` + "`go_memstats_heap_alloc_bytes`, `process_resident_memory_bytes`" + `), goroutines
(` + "`go_goroutines`" + `), garbage collection (` + "`go_gc_duration_seconds`" + `), processor time
(` + "`process_cpu_seconds_total`" + `), open files (` + "`process_open_fds`, `process_max_fds`" + `) and
the start (` + "`process_start_time_seconds`" + `).

| metric | kind | meaning | label |
| --- | --- | --- | --- |
`

// labels are the values of labels that the code makes as it runs, by metric or by label.
var labels = map[string]string{
	"postroad_delivery_throttled_total": strings.Join(limits(), ", "),
	"postroad_queue_recipients":         strings.Join(states(queue.Ready, queue.Held), ", "),
	"postroad_queue_settled_total":      strings.Join(states(queue.Delivered, queue.Removed), ", "),
	"postroad_build_info":               "the program's and the node's",
	"site":                              "the first 100 sites that had mail; `other`: all others",
	"domain":                            "the 50 with most; `other`: all others",
	"tenant":                            "the 50 with most; `none`: mail of no tenant; `other`",
	"reason": "`held`; `not attempted yet`; code and enhanced code of the latest reply, such " +
		"as `451 4.7.1`; `no reply 4.4.1` where nobody replied; the 50 with most, and `other`",
	"name": "of a certificate, 200 at most",
}

func limits() (names []string) {
	for l := range delivery.Limits {
		names = append(names, l.String())
	}
	return names
}

// states are those from one to another, without the one that only the scheduler knows.
func states(from, to queue.State) (names []string) {
	for s := from; s <= to; s++ {
		if s != queue.InFlight {
			names = append(names, s.String())
		}
	}
	return names
}

// metric is a row of the reference.
type metric struct {
	name, kind, help, label string
	values                  []string
}

// TestMetricsReference holds docs/metrics.md to what package node tells of each part.
func TestMetricsReference(t *testing.T) {
	root := filepath.Join("..", "..")
	rows := map[string]*metric{}
	areas, funcs := map[string]string{}, map[string]*ast.FuncDecl{}
	paths, err := filepath.Glob(filepath.Join(root, "node", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				funcs[f.Name.Name] = f
			}
		}
	}
	ast.Inspect(funcs["registerMetrics"], func(n ast.Node) bool {
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			areas[kv.Value.(*ast.SelectorExpr).Sel.Name] = literal(kv.Key)
		}
		return true
	})
	for name, area := range areas {
		metricsOf(t, funcs, name, "postroad_"+area+"_", rows)
	}
	rows["postroad_build_info"] = &metric{name: "postroad_build_info", kind: "gauge",
		help: "always 1; the labels say what runs", label: "version`, `node"}
	if len(rows) < 50 {
		t.Fatalf("only %d metrics are found: does the test still read them?", len(rows))
	}
	var b strings.Builder
	b.WriteString(metricsHead)
	for _, m := range slices.SortedFunc(valuesOf(rows), func(a, b *metric) int {
		return cmp.Compare(a.name, b.name)
	}) {
		label := ""
		if m.label != "" {
			label = "`" + m.label + "`"
		}
		values := cmp.Or(strings.Join(m.values, ", "), labels[m.name], labels[m.label])
		switch {
		case m.label == "":
		case values == "":
			t.Errorf("%s: which values has the label %s? add them to labels", m.name, m.label)
		default:
			label += ": " + values
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, m.help, label)
	}
	doc := filepath.Join(root, "docs", "metrics.md")
	if *update {
		if err := os.WriteFile(doc, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(doc); err != nil || string(have) != b.String() {
		t.Errorf("docs/metrics.md is not what the code says; run "+
			"`go test ./internal/lint -run MetricsReference -update` (%v)", err)
	}
}

func valuesOf(rows map[string]*metric) func(func(*metric) bool) {
	return func(yield func(*metric) bool) {
		for _, m := range rows {
			if !yield(m) {
				return
			}
		}
	}
}

// metricsOf adds what a function tells its Observer, and what those tell to which it hands it on.
func metricsOf(
	t *testing.T, funcs map[string]*ast.FuncDecl, name, prefix string, rows map[string]*metric,
) {
	f := funcs[name]
	if f == nil {
		t.Fatalf("there is no function %s", name)
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		called := ""
		switch fun := call.Fun.(type) {
		case *ast.SelectorExpr:
			called = fun.Sel.Name
			if x, ok := fun.X.(*ast.Ident); ok && x.Name == "o" {
				observed(t, called, call.Args, prefix, rows)
				return true
			}
		case *ast.Ident:
			called = fun.Name
		}
		if funcs[called] != nil && called != name && slices.ContainsFunc(call.Args, isObserver) {
			metricsOf(t, funcs, called, prefix, rows)
		}
		return true
	})
}

func isObserver(e ast.Expr) bool {
	x, ok := e.(*ast.Ident)
	return ok && x.Name == "o"
}

// observed adds one call of an Observer.
func observed(
	t *testing.T, method string, args []ast.Expr, prefix string, rows map[string]*metric,
) {
	kind := strings.ToLower(strings.TrimSuffix(method, "By"))
	switch kind {
	case "counter", "gauge":
	case "durations":
		kind = "histogram"
	default:
		return
	}
	name, help := literal(args[0]), literal(args[1])
	if name == "" || help == "" {
		t.Errorf("a %s of %s has no name or meaning that can be read here", kind, prefix)
		return
	}
	m := rows[prefix+name]
	if m == nil {
		m = &metric{name: prefix + name, kind: kind, help: help}
		rows[m.name] = m
	}
	if strings.HasSuffix(method, "By") {
		m.label = literal(args[2])
		if v := literal(args[3]); v != "" {
			m.values = append(m.values, v)
			slices.Sort(m.values)
		}
	}
}

// literal is the value of a string that the code has as such, in pieces or as a whole, else "".
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value)
		return s
	case *ast.Ident: // a constant of the function
		if e.Obj != nil && e.Obj.Kind == ast.Con {
			return literal(e.Obj.Decl.(*ast.ValueSpec).Values[0])
		}
	case *ast.BinaryExpr:
		a, b := literal(e.X), literal(e.Y)
		if a != "" && b != "" {
			return a + b
		}
	}
	return ""
}
