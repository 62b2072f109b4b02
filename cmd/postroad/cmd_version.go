package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is the version of a release, set by its build: -ldflags "-X main.release=1.2.3".
var release string

// version is what this program calls itself.
var version, revision = buildVersion()

// buildVersion takes what the build does not say from what Go recorded of it.
func buildVersion() (version, revision string) {
	version = cmp.Or(release, "dev")
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

func runVersion(_ context.Context, c *console, args []string) error {
	fs := c.flags()
	asJSON := fs.Bool("json", false, "print one JSON object")
	rest, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(c.out).Encode(struct {
			Version  string `json:"version"`
			Revision string `json:"revision"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
		}{version, revision, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
	}
	build := runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH
	if revision != "" {
		build = revision + ", " + build
	}
	_, err = fmt.Fprintf(c.out, "postroad %s (%s)\n", version, build)
	return err
}
