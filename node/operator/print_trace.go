package operator

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/trace"
	"github.com/postroad/postroad/operate/admin/api"
)

// PrintStep prints one step of a journey: when, where, which message, what.
func PrintStep(c *cli.Console, raw json.RawMessage) error {
	var item api.TraceItem
	if err := json.Unmarshal(raw, &item); err != nil {
		return err
	}
	begin := fmt.Sprintf("%s  %s  %-16s  ", item.At.Local().Format("2006-01-02 15:04:05.000"),
		cli.Clean(item.Node), cli.Clean(cmp.Or(item.ID, "refused")))
	if item.Queue != nil {
		fmt.Fprintf(c.Out, "%s%-16s %s\n", begin, "in the queue", item.Queue.State)
		for i := range item.Queue.Recipients {
			if err := printRecipient(c, &item.Queue.Recipients[i]); err != nil {
				return err
			}
		}
		return nil
	}
	kind, words, err := trace.Words(item.Event)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Out, "%s%-16s %s\n", begin, cli.Clean(kind), cli.Clean(words))
	return err
}
