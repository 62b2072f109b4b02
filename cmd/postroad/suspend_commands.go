package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
)

const suspendArgs = "--domain|--site|--tenant|--campaign NAME --reason TEXT [--for TIME] " +
	"[--json] | list [--json]"

const suspendHelp = `
Nothing of it is attempted any more, on any node, once the command ends with 0; what is under way may finish. New mail is accepted, recipients keep their
states and due times, and expire in their time; "queue list" tells the reason. Groups that could not acknowledge it are named, and the
exit status is then 75: the suspension stands, and they obey before they begin anything.
A site is named as the log does, or by a suffix of the names of all its hosts. Without --for it lasts until "postroad resume".
"postroad suspend list" shows what is in force.

    postroad suspend --domain example.net --reason "their postmaster asked for it" --for 2h
    postroad suspend --tenant shop7 --reason "stolen password"
    postroad resume  --tenant shop7`

const resumeArgs = "--domain|--site|--tenant|--campaign NAME [--reason TEXT] [--json]"

const resumeHelp = `
What waits goes on at once, within the limits of its site.`

// suspendFlags name what is meant.
type suspendFlags struct {
	nodeFlags
	request api.SuspendRequest
	named   int
	json    bool
}

func (s *suspendFlags) register(fs *flag.FlagSet, verb string) {
	s.nodeFlags.register(fs)
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
	list := verb == "suspend" && len(rest) == 1 && rest[0] == "list" && s.named == 0 &&
		s.request.Reason == "" && s.request.For == 0
	if !list {
		err = cli.NoMore(rest)
		if err == nil && s.named != 1 {
			err = cli.Usage("name one thing to "+verb+
				" with --domain, --site, --tenant or --campaign",
				"`postroad suspend list` shows what is suspended")
		}
		if err == nil {
			err = s.request.Check(verb)
		}
	}
	if err != nil {
		return err
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.Close()
	if list {
		return printSuspensions(ctx, c, client, s.json)
	}
	answer, err := client.Suspend(ctx, verb, s.request)
	return errors.Join(printAcknowledgement(c, verb, answer, s.json), err)
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

// printAcknowledgement prints which groups obey, each at which index of its log.
func printAcknowledgement(c *cli.Console, verb string, a *api.Acknowledgement, asJSON bool) error {
	if a == nil {
		return nil
	}
	if asJSON {
		return c.Object(a)
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
