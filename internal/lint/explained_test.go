package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// plain are methods that say what they are by the interface that they implement.
var plain = []string{"Error", "Unwrap", "Is", "String", "Read", "Write", "Close", "MarshalText",
	"UnmarshalText"}

// undocumented returns the exported names of a file that nothing is said of. Constants that follow
// their type, one after the other, need a word only where the name does not say all.
func undocumented(f *ast.File) (names []string) {
	typed := ""
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			receiver := receiverOf(d)
			if d.Doc == nil && d.Name.IsExported() && (receiver == "" ||
				ast.IsExported(receiver) && !slices.Contains(plain, d.Name.Name)) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			last := ""
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					last = s.Name.Name
					if d.Doc == nil && s.Doc == nil && s.Comment == nil && s.Name.IsExported() {
						names = append(names, s.Name.Name)
					}
				case *ast.ValueSpec:
					if t, ok := s.Type.(*ast.Ident); ok {
						last = t.Name
					}
					follows := typed != "" && last == typed && d.Tok == token.CONST
					if d.Doc == nil && s.Doc == nil && s.Comment == nil && !follows &&
						s.Names[0].IsExported() {
						names = append(names, s.Names[0].Name)
					}
				}
			}
			typed = last
		}
	}
	return names
}

// receiverOf returns the name of a method's type, "" for a function.
func receiverOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// TestExportedNamesAreExplained: each exported name has a doc comment.
func TestExportedNamesAreExplained(t *testing.T) {
	for _, s := range tree(t) {
		if s.test {
			continue
		}
		for _, name := range undocumented(s.file) {
			t.Errorf("%s: %s has no doc comment: say what it is, its name first", s.path, name)
		}
	}
}

// TestUndocumentedIsFound: the check sees what it is for.
func TestUndocumentedIsFound(t *testing.T) {
	const src = `package p

// Kind is a kind.
type Kind int

const (
	One Kind = iota
	Two
)

const Loose = 1

type T struct{}

func F() {}

// G is explained.
func G() {}

func (*T) M() {}

func (T) Error() string { return "" }

type hidden struct{}

func (hidden) M() {}
`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if got := undocumented(f); !slices.Equal(got, []string{"Loose", "T", "F", "M"}) {
		t.Errorf("found %q", got)
	}
}
