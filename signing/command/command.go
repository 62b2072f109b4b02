// Package command is `postroad dkim`: the keys with which mail is signed.
package command

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

// Commands are its subcommands.
var Commands = []cli.Command{
	{Name: "generate",
		Args: "DOMAIN [--selector NAME] [--algorithm rsa|ed25519] [--bits N] " +
			"[--tenant NAME] [--key FILE]",
		Short: "make a key for a domain", Run: runDKIMGenerate, Long: `
Prints the record that belongs into DNS. Mail of the domain is signed with the key as soon as the record is seen there, which is looked for every
minute; nothing is signed before. Signed is mail of authenticated users who may send as the author in From, and with --tenant also what the trusted
networks of that tenant's listeners send.

    postroad dkim generate example.net
    postroad dkim generate example.net --key old-key.pem --selector s1   # one that exists already`},
	{Name: "list", Args: "[--json]", Short: "list the keys and what state they are in", Run: runDKIMList, Long: `
A key is new until its record is in DNS, active while mail is signed with it, and retiring while mail that it signed may be on its way.

    postroad dkim list`},
	{Name: "show", Args: "DOMAIN [--selector NAME] [--dns] [--json]", Short: "show a domain's keys and their records", Run: runDKIMShow, Long: `
With --dns only the lines for the zone file.

    postroad dkim show example.net --dns`},
	{Name: "check", Args: "DOMAIN [--selector NAME] [--force] [--json]", Short: "compare a domain's keys with DNS", Run: runDKIMCheck, Long: `
New keys whose records are there become active at once. --force makes them active although they are not seen, as where this node asks another DNS
than the world. Exit status 65 when a key that signs mail is not in DNS as it is here.

    postroad dkim check example.net`},
	{Name: "rotate", Args: "DOMAIN [--json]", Short: "make a successor for each key that signs", Run: runDKIMRotate, Long: `
Prints the records that belong into DNS. When they are seen there, mail is signed with the new keys. The old ones are retiring then: leave their
records in DNS until "postroad dkim list" does not show them any more.

    postroad dkim rotate example.net`},
	{Name: "retire", Args: "DOMAIN --selector NAME [--force]", Short: "sign with a key no longer", Run: runDKIMRetire, Long: `
A key that signs is retiring from now on, if there is another one that signs. It is taken out when no mail that it signed can be on its way any more,
with --force at once.

    postroad dkim retire example.net --selector r20261201`},
}

// keyWords are what commands about keys take.
type keyWords struct {
	request api.DKIMRequest
	asJSON  bool
}

func (k *keyWords) flags(c *cli.Console, selector bool) *flag.FlagSet {
	fs := c.Flags()
	if selector {
		fs.StringVar(&k.request.Selector, "selector", "", "the `NAME` before _domainkey")
	}
	fs.BoolVar(&k.asJSON, "json", false, "print one JSON object a line")
	return fs
}

// ask runs a verb for the one domain in args, and lets print say what came of each key.
func (k *keyWords) ask(
	ctx context.Context, c *cli.Console, fs *flag.FlagSet, args []string, verb string,
	print func(*cli.Console, *api.SigningKey),
) (keys []*api.SigningKey, err error) {
	err = cmdline.WithOne(c, fs, args, "domain", func(client *client.Client, domain string) error {
		k.request.Domain = domain
		var found api.SigningKeys
		if verb == "show" {
			found, err = client.ShowKeys(ctx, domain, k.request.Selector)
		} else {
			found, err = client.ChangeKeys(ctx, verb, k.request)
		}
		if err != nil {
			return err
		}
		keys = found.Keys
		for _, key := range keys {
			if k.asJSON {
				if err := c.Object(key); err != nil {
					return err
				}
				continue
			}
			print(c, key)
		}
		return nil
	})
	return keys, err
}

func runDKIMGenerate(ctx context.Context, c *cli.Console, args []string) error {
	var k keyWords
	fs := k.flags(c, true)
	fs.StringVar(&k.request.Algorithm, "algorithm", "", "`rsa` (default), or ed25519")
	fs.IntVar(&k.request.Bits, "bits", 0, "the `LENGTH` of an RSA key (default 2048)")
	fs.StringVar(&k.request.Tenant, "tenant", "", "sign the mail of the tenant `NAME` alone")
	fs.Func("key", "a private key that exists already, PEM in `FILE`", func(name string) error {
		text, err := os.ReadFile(name)
		k.request.Private = string(text)
		return err
	})
	_, err := k.ask(ctx, c, fs, args, "generate", printRecord)
	return err
}

// printRecord says what is to be published.
func printRecord(c *cli.Console, k *api.SigningKey) {
	fmt.Fprintf(c.Err, "the key %s of %s is made. Put this record into DNS; mail is signed when "+
		"it is seen there:\n", k.Selector, k.Domain)
	fmt.Fprintln(c.Out, k.Zone)
}

func runDKIMRotate(ctx context.Context, c *cli.Console, args []string) error {
	var k keyWords
	_, err := k.ask(ctx, c, k.flags(c, false), args, "rotate", printRecord)
	return err
}

func runDKIMList(ctx context.Context, c *cli.Console, args []string) error {
	return cmdline.List(ctx, c, args, (*client.Client).SigningKeys, printKey)
}

// printKey prints one line of a listing.
func printKey(c *cli.Console, k *api.SigningKey) error {
	return cmdline.About(c, k.Domain+" "+k.Selector, [][2]string{{"", k.State}, {"", keyKind(k)},
		{"tenant ", k.Tenant}, {"since ", k.Since.Format(time.RFC3339)}}, nil)
}

func keyKind(k *api.SigningKey) string {
	if k.Bits == 0 {
		return k.Algorithm
	}
	return fmt.Sprintf("%s-%d", k.Algorithm, k.Bits)
}

func runDKIMShow(ctx context.Context, c *cli.Console, args []string) error {
	var k keyWords
	fs := k.flags(c, true)
	zone := fs.Bool("dns", false, "print the lines for the zone file, and nothing else")
	_, err := k.ask(ctx, c, fs, args, "show", func(c *cli.Console, k *api.SigningKey) {
		if !*zone {
			_ = printKey(c, k)
		}
		fmt.Fprintln(c.Out, k.Zone)
	})
	return err
}

func runDKIMCheck(ctx context.Context, c *cli.Console, args []string) error {
	var k keyWords
	fs := k.flags(c, true)
	fs.BoolVar(&k.request.Force, "force", false, "sign with new keys that are not seen in DNS")
	keys, err := k.ask(ctx, c, fs, args, "check", func(c *cli.Console, k *api.SigningKey) {
		fmt.Fprintf(c.Out, "%s %s  %s  %s\n", k.Domain, k.Selector, k.State,
			cmp.Or(cli.Clean(k.Problem), "in DNS as it is here"))
	})
	for _, key := range keys {
		if key.State == "active" && key.Problem != "" {
			return api.Fail(api.ExitData, "mail is signed with a key that others do not find",
				"`postroad dkim show "+key.Domain+" --dns` prints what belongs into DNS")
		}
	}
	return err
}

func runDKIMRetire(ctx context.Context, c *cli.Console, args []string) error {
	var k keyWords
	fs := k.flags(c, true)
	fs.BoolVar(&k.request.Force, "force", false, "take it out at once")
	left, err := k.ask(ctx, c, fs, args, "retire", func(c *cli.Console, k *api.SigningKey) {
		fmt.Fprintf(c.Err, "%s of %s signs no more; leave its record in DNS until `postroad dkim "+
			"list` does not show it any more\n", k.Selector, k.Domain)
	})
	if err == nil && len(left) == 0 {
		fmt.Fprintf(c.Err, "%s is gone; its record can be taken out of DNS\n", k.request.Selector)
	}
	return err
}
