// Package scenarios holds the scenarios that come with the program. They are what
// docs/performance.md reports: `postroad bench run all`.
package scenarios

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed *.toml
var files embed.FS

// order is that of the report: what a reader asks for first comes first.
var order = []string{"relay", "tools", "cluster", "drain", "tls", "fanout", "mix", "slow",
	"destinations", "idle", "kill", "million"}

// Names lists them.
func Names() []string { return slices.Clone(order) }

// Read returns the text of one.
func Read(name string) ([]byte, error) {
	if !slices.Contains(order, name) {
		return nil, fmt.Errorf("there is no scenario %q; there are %s, and all", name,
			strings.Join(order, ", "))
	}
	return files.ReadFile(name + ".toml")
}
