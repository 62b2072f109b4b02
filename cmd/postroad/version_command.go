package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/rsasign"
	"github.com/postroad/postroad/internal/version"
)

const versionHelp = `
Prints the version, the revision of the source, the version of Go, the platform and whose RSA signs. postroad --version does the same.

    postroad version --json`

func runVersion(_ context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	asJSON := fs.Bool("json", false, "print one JSON object")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	if *asJSON {
		return c.Object(struct {
			Version  string `json:"version"`
			Revision string `json:"revision"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
			RSA      string `json:"rsa"`
		}{version.Version, version.Revision, runtime.Version(),
			runtime.GOOS + "/" + runtime.GOARCH, rsasign.Implementation()})
	}
	build := runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH
	if version.Revision != "" {
		build = version.Revision + ", " + build
	}
	_, err = fmt.Fprintf(c.Out, "postroad %s (%s; RSA signatures by %s)\n", version.Version, build,
		rsasign.Implementation())
	return err
}
