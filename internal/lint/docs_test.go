package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named is a file of Go that a document names by its whole path.
var named = regexp.MustCompile("`((?:[a-z0-9]+/)+[a-z0-9_]+\\.go)`")

// TestDocsNameWhatIsThere holds the documents that say where something is to what is there.
func TestDocsNameWhatIsThere(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, doc := range []string{"docs/where.md", "docs/flow.md", "docs/overview.md"} {
		text, err := os.ReadFile(filepath.Join(root, doc))
		if err != nil {
			t.Fatal(err)
		}
		found := named.FindAllStringSubmatch(string(text), -1)
		for _, m := range found {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", doc, m[1])
			}
		}
		if strings.HasSuffix(doc, "where.md") && len(found) < 10 {
			t.Errorf("%s names %d files only: does the test still read it?", doc, len(found))
		}
	}
}
