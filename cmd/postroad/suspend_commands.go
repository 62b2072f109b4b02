package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/node/operator"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

const suspendArgs = "--domain|--site|--tenant|--campaign NAME --reason TEXT [--for TIME] [--json]"

var suspendCommands = []cli.Command{
	{Name: "list", Args: "[--json]", Short: "show what is suspended", Run: runSuspendList, Long: `
Shows each suspension that is in force in the cluster, since when, until when, and why.

    postroad suspend list`},
}

const suspendHelp = `
Nothing of it is attempted any more, on any node, once the command ends with 0; what is under way may finish. New mail is accepted, recipients keep their
states and due times, and expire in their time; "queue list" tells the reason. Groups that could not acknowledge it are named, and the
exit status is then 75: the suspension stands, and they obey before they begin anything.
A site is named as the log does, or by a suffix of the names of all its hosts. Without --for it lasts until "postroad resume".

    postroad suspend --domain example.net --reason "their postmaster asked for it" --for 2h
    postroad suspend --tenant shop7 --reason "stolen password"
    postroad resume  --tenant shop7`

const resumeArgs = "--domain|--site|--tenant|--campaign NAME [--reason TEXT] [--json]"

const resumeHelp = `
What waits goes on at once, within the limits of its site.

    postroad resume --domain example.net`

// suspendFlags name what is meant.
type suspendFlags struct {
	cmdline.Node
	request api.SuspendRequest
	named   int
	json    bool
}

func (s *suspendFlags) register(fs *flag.FlagSet, verb string) {
	s.Node.Register(fs)
	for kind, about := range map[string]string{
		"domain": "recipients at this `DOMAIN`", "site": "the hosts of this `SITE`",
		"tenant": "messages of this `TENANT`", "campaign": "messages of this `CAMPAIGN`",
	} {
		fs.Func(kind, about, func(name string) error {
			s.request.Kind, s.request.Name = kind, name
			s.named++
			return nil
		})
	}
	about := "the `TEXT` that operators see"
	if verb == "resume" {
		about = "the `TEXT` that the node logs; none is needed"
	}
	fs.StringVar(&s.request.Reason, "reason", "", about)
	fs.BoolVar(&s.json, "json", false, "print one JSON object a line")
}

func runSuspend(ctx context.Context, c *cli.Console, args []string) error {
	s, fs, verb := suspendFlags{}, c.Flags(), c.Command.Name
	s.register(fs, verb)
	if verb == "suspend" {
		fs.Func("for", "how long, a `TIME` such as 90m, 2h or 4d; without it: until it is resumed",
			func(t string) error {
				return s.request.For.UnmarshalText([]byte(t))
			})
	}
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	early := verb == "suspend" && len(rest) == 1 && rest[0] == "list" && s.named == 0 &&
		s.request.Reason == "" && s.request.For == 0 // flags before the word
	if err := cli.NoMore(rest); err != nil && !early {
		return err
	}
	if early {
		return cmdline.WithClient(&s.Node, func(client *client.Client) error {
			return printSuspensions(ctx, c, client, s.json)
		})
	}
	if s.named != 1 {
		return cli.Usage("name one thing to "+verb+" with --domain, --site, --tenant or --campaign",
			"`postroad suspend list` shows what is suspended")
	}
	if err := s.request.Check(verb); err != nil {
		return err
	}
	return cmdline.WithClient(&s.Node, func(client *client.Client) error {
		answer, err := client.Suspend(ctx, verb, s.request)
		return errors.Join(operator.PrintAcknowledgement(c, verb, answer, s.json), err)
	})
}

func runSuspendList(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	asJSON := fs.Bool("json", false, "print one JSON object a line")
	client, _, err := connect(c, fs, args, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	return printSuspensions(ctx, c, client, *asJSON)
}

// printSuspensions prints what is in force.
func printSuspensions(
	ctx context.Context, c *cli.Console, client *client.Client, asJSON bool,
) error {
	n := 0
	err := client.Suspensions(ctx,
		cli.Lines(c, asJSON, func(c *cli.Console, s *api.Suspension) error {
			n++
			_, err := fmt.Fprintf(c.Out, "%-8s %s  %s, since %s: %s\n", s.Kind, cli.Clean(s.Name),
				s.Ends(), s.Since.Local().Format(time.DateTime), cli.Clean(s.Reason))
			return err
		}))
	if err == nil && n == 0 && !asJSON {
		fmt.Fprintln(c.Err, "nothing is suspended")
	}
	return err
}
