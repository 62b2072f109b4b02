// Package version says what this program calls itself.
package version

import (
	"cmp"
	"runtime/debug"
)

// release is the version of a release, set by its build:
// -ldflags "-X github.com/postroad/postroad/internal/version.release=1.2.3".
var release string

// version is what this program calls itself, revision the commit that it was built from, if known.
var Version, Revision = buildVersion()

// buildVersion takes what the build does not say from what Go recorded of it.
func buildVersion() (version, revision string) {
	version = cmp.Or(release, "dev") + suffix
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, ""
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty {
		revision += "+changes"
	}
	return version, revision
}
