package operator

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
)

// PrintAcknowledgement prints which groups obey, each at which index of its log.
func PrintAcknowledgement(c *cli.Console, verb string, a *api.Acknowledgement, asJSON bool) error {
	if a == nil {
		return nil
	}
	if asJSON {
		return json.NewEncoder(c.Out).Encode(a)
	}
	var at []string
	for _, g := range a.Groups {
		at = append(at, strconv.FormatUint(g.Group, 10)+":"+strconv.FormatUint(g.Index, 10))
	}
	if len(at) > shownGroups {
		at = append(at[:shownGroups], "... (--json has them all)")
	}
	what := "suspended " + a.Suspension.Ends()
	if verb == "resume" {
		what = "resumed"
	}
	_, err := fmt.Fprintf(c.Err, "%s %s is %s; %s obeying, each from an index of its log on: %s\n",
		a.Suspension.Kind, cli.Clean(a.Suspension.Name), what,
		cli.Number(int64(len(a.Groups)), "queue group"), strings.Join(at, " "))
	return err
}
