package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const adminHead = `# The admin API

Made from the code: ` + "`go test ./internal/lint -run AdminAPI -update`" + `.

What the command line says to a node, over HTTP: on the unix socket ` + "`admin.sock`" + ` in the data
directory, which only the node's user can open, and on ` + "`admin.address`" + `, where it takes
` + "`Authorization: Bearer TOKEN`" + ` with the token of ` + "`admin.token_file`" + `
([configuration.md](configuration.md)). ` + "`/livez`, `/readyz` and `/metrics`" + ` need no token.
A request over TCP must name a host that is this node's.

    curl --unix-socket data/admin.sock -d '{"states":["deferred"]}' http://node/v1/queue/count
    curl -H "Authorization: Bearer $(cat token)" http://127.0.0.1:8025/v1/cluster/status

Any node answers for the whole cluster. Bodies are JSON; a member that is not known is an error.
Times are RFC 3339 in UTC, spans of time text such as ` + "`\"1h30m\"`" + `. A *stream* is one Line per
line of text; the last has a total or an error, and one that ends otherwise was cut off. An error is
an Error, with the [exit status](exit-statuses.md) that the command line would end with: 64 and 65
come with HTTP 400, 77 with 403, 69 and 75 with 503, others with 500.

The path says which version it is. Within ` + "`/v1`" + ` members and requests are added and none is
taken away.

| request | body | answer |
| --- | --- | --- |
`

// apiRow is a request of the admin API, as the comment of operate/admin tells of it.
type apiRow struct{ method, paths, body, answer string }

// betweenNodes are requests that only nodes make.
var betweenNodes = []string{"POST /v1/trace/find", "POST /v1/trace/events"}

// TestAdminAPI holds docs/admin-api.md to the comment of operate/admin and to the types of
// operate/admin/api, and that comment to the routes.
func TestAdminAPI(t *testing.T) {
	root := filepath.Join("..", "..")
	server := parseAll(t, filepath.Join(root, "operate", "admin"))
	rows := adminRows(t, server)
	told := map[string]bool{"GET /livez": true, "GET /readyz": true, "GET /metrics": true,
		"GET /debug/pprof/": true, "GET /debug/pprof/profile": true, "GET /debug/pprof/trace": true}
	for _, r := range rows {
		for _, path := range expand(r.paths) {
			told[r.method+" "+path] = true
		}
	}
	routes := adminRoutes(server)
	for route := range routes {
		if !told[route] && !slices.Contains(betweenNodes, route) {
			t.Errorf("the comment of operate/admin does not tell of %s", route)
		}
	}
	for route := range told {
		if !routes[route] {
			t.Errorf("the comment of operate/admin tells of %s, which is not there", route)
		}
	}
	types := structsOf(parseAll(t, filepath.Join(root, "operate", "admin", "api")))
	var b strings.Builder
	b.WriteString(adminHead)
	wanted := []string{"Line", "Error"}
	word := regexp.MustCompile(`[A-Z][A-Za-z]+`)
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s %s` | %s | %s |\n", r.method, r.paths, r.body, r.answer)
		wanted = append(wanted, word.FindAllString(r.body+" "+r.answer, -1)...)
	}
	b.WriteString("\n## Types\n\nA member that is empty may be left out.\n")
	for i := 0; i < len(wanted); i++ {
		s := types[wanted[i]]
		if s == nil || slices.Index(wanted, wanted[i]) < i {
			continue
		}
		wanted = append(wanted, s.write(&b, types)...)
	}
	doc := filepath.Join(root, "docs", "admin-api.md")
	if *update {
		if err := os.WriteFile(doc, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(doc); err != nil || string(have) != b.String() {
		t.Errorf("docs/admin-api.md is not what the code says; run "+
			"`go test ./internal/lint -run AdminAPI -update` (%v)", err)
	}
}

// parseAll parses a package without its tests.
func parseAll(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "newer.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// apiLine is "METHOD PATH, PATH  the rest"; a path may have alternatives in braces.
var apiLine = regexp.MustCompile(`^\t(GET|POST)\s+` +
	`(/(?:[^\s,{]|\{[^}]*\})+(?:, /(?:[^\s,{]|\{[^}]*\})+)*)\s*(.*)$`)

// adminRows reads the table in the package's comment.
func adminRows(t *testing.T, files []*ast.File) (rows []apiRow) {
	t.Helper()
	for _, f := range files {
		if f.Doc == nil {
			continue
		}
		for line := range strings.Lines(f.Doc.Text()) {
			m := apiLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
			if m == nil {
				continue
			}
			r := apiRow{method: m[1], paths: m[2], answer: strings.TrimSpace(m[3])}
			if r.method == "POST" {
				r.body, r.answer, _ = strings.Cut(r.answer, " ")
				r.answer = strings.TrimSpace(r.answer)
			}
			if r.answer == "" {
				t.Errorf("what does %s %s answer?", r.method, r.paths)
			}
			rows = append(rows, r)
		}
	}
	if len(rows) < 25 {
		t.Fatalf("the comment of operate/admin has %d requests: is it still read?", len(rows))
	}
	return rows
}

// expand writes "/a/{b,c}?d, /e" as its paths.
func expand(paths string) (all []string) {
	for _, p := range regexp.MustCompile(`, +/`).Split(paths, -1) {
		p, _, _ = strings.Cut("/"+strings.TrimPrefix(p, "/"), "?")
		head, rest, ok := strings.Cut(p, "{")
		if !ok {
			all = append(all, p)
			continue
		}
		list, _, _ := strings.Cut(rest, "}")
		for verb := range strings.SplitSeq(list, ",") {
			all = append(all, head+verb)
		}
	}
	return all
}

// adminRoutes finds what the server's functions give to a ServeMux.
func adminRoutes(files []*ast.File) map[string]bool {
	routes, verbs := map[string]bool{}, map[string][]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec: // var moves = []string{...}
				if len(n.Values) == 1 && n.Names[0].Name == "moves" {
					verbs["POST /v1/queue/"] = literals(n.Values[0], false)
				}
			case *ast.AssignStmt: // verbs := map[string]clusterVerb{...}
				if x, ok := n.Lhs[0].(*ast.Ident); ok && x.Name == "verbs" {
					verbs["POST /v1/cluster/"] = literals(n.Rhs[0], true)
				}
			}
			return true
		})
	}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name == "peerRoutes" || fn.Name.Name == "StartWaiting" {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 2 {
					return true
				}
				if s, ok := call.Fun.(*ast.SelectorExpr); !ok ||
					s.Sel.Name != "Handle" && s.Sel.Name != "HandleFunc" {
					return true
				}
				if e, ok := call.Args[0].(*ast.BinaryExpr); ok {
					for _, verb := range verbs[literal(e.X)] {
						routes[literal(e.X)+verb] = true
					}
				} else if route := literal(call.Args[0]); strings.Contains(route, " ") {
					routes[route] = true
				}
				return true
			})
		}
	}
	return routes
}

// literals are the strings of a composite literal, or its keys.
func literals(e ast.Expr, keys bool) (all []string) {
	c, _ := e.(*ast.CompositeLit)
	for _, x := range c.Elts {
		if kv, ok := x.(*ast.KeyValueExpr); ok && keys {
			x = kv.Key
		}
		all = append(all, literal(x))
	}
	return all
}

// apiType is a struct of package api.
type apiType struct {
	name, doc string
	fields    []*ast.Field
}

func structsOf(files []*ast.File) map[string]*apiType {
	all := map[string]*apiType{}
	for _, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				ts := spec.(*ast.TypeSpec)
				if s, ok := ts.Type.(*ast.StructType); ok {
					all[ts.Name.Name] = &apiType{ts.Name.Name, g.Doc.Text(), s.Fields.List}
				}
			}
		}
	}
	return all
}

// write writes a type's table, and returns which others are in it.
func (s *apiType) write(b *strings.Builder, types map[string]*apiType) (others []string) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n", s.name, s.doc)
	b.WriteString("| member | type | meaning |\n| --- | --- | --- |\n")
	var row func(f *ast.Field)
	row = func(f *ast.Field) {
		name := ""
		if f.Tag != nil {
			tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
			name, _, _ = strings.Cut(tag, ",")
		}
		text, in := jsonType(f.Type)
		switch {
		case name == "-":
		case name == "" && types[in] != nil: // embedded
			for _, inner := range types[in].fields {
				row(inner)
			}
		default:
			others = append(others, in)
			says := strings.TrimSpace(f.Doc.Text() + " " + f.Comment.Text())
			says = strings.ReplaceAll(strings.Join(strings.Fields(says), " "), "|", `\|`)
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, text, says)
		}
	}
	for _, f := range s.fields {
		row(f)
	}
	return others
}

// jsonType says what a Go type is in JSON, and which type of package api it is made of.
func jsonType(e ast.Expr) (text, in string) {
	switch e := e.(type) {
	case *ast.StarExpr:
		return jsonType(e.X)
	case *ast.ArrayType:
		text, in = jsonType(e.Elt)
		return "list of " + text, in
	case *ast.MapType:
		text, in = jsonType(e.Value)
		return "object of " + text + " by name", in
	case *ast.SelectorExpr:
		switch e.Sel.Name {
		case "RawMessage":
			return "any", ""
		case "Duration", "Rate", "Size":
			return "text (" + strings.ToLower(e.Sel.Name) + ")", ""
		}
		return e.Sel.Name, e.Sel.Name
	case *ast.Ident:
		switch e.Name {
		case "string":
			return "text", ""
		case "bool":
			return "true or false", ""
		case "Time":
			return "time", ""
		}
		if strings.HasPrefix(e.Name, "int") || strings.HasPrefix(e.Name, "uint") {
			return "number", ""
		}
		return e.Name, e.Name
	}
	return "any", ""
}
