package scenarios_test

import (
	"os"
	"strings"
	"testing"

	"github.com/postroad/postroad/bench/run"
	"github.com/postroad/postroad/bench/scenarios"
)

// TestScenarios: each file is in the list, and can be read.
func TestScenarios(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".toml")
		if !ok {
			continue
		}
		text, err := scenarios.Read(name)
		if err != nil {
			t.Errorf("%s: %v", f.Name(), err)
			continue
		}
		s, err := run.Parse(f.Name(), text)
		if err != nil {
			t.Error(err)
		} else if s.Name != name {
			t.Errorf("%s is called %q", f.Name(), s.Name)
		}
	}
}
