package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/postroad/postroad"

// source is one Go file of the tree.
type source struct {
	path    string // from the root of the module
	pkg     string // its directory
	test    bool
	imports []string
	file    *ast.File
	fset    *token.FileSet
}

// tree parses all Go files of the module.
func tree(t *testing.T) (all []source) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == "testdata" || strings.HasPrefix(name, ".") ||
			strings.HasPrefix(name, "_")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		s, err := parse(root, path)
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files were found: the test looks at the wrong tree", len(all))
	}
	return all
}

func parse(root, path string) (s source, err error) {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return s, err
	}
	s = source{path: filepath.ToSlash(rel), pkg: filepath.ToSlash(filepath.Dir(rel)),
		test: strings.HasSuffix(path, "_test.go"), fset: token.NewFileSet()}
	if s.file, err = parser.ParseFile(s.fset, path, nil,
		parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return s, err
	}
	for _, i := range s.file.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return s, err
		}
		s.imports = append(s.imports, name)
	}
	return s, nil
}

// under reports whether path is prefix or lies below it.
func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// standard reports whether an import is of Go's standard library.
func standard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}
