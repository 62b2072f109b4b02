package main

import (
	"regexp"
	"strings"
	"testing"
)

// Domains, aliases and users, from the command line to the directory and back.
func TestPeopleCommands(t *testing.T) {
	startCLINode(t)
	for _, c := range []struct {
		args string
		want int
		says string
	}{
		{"alias add sales@example.net alice@example.net", 65, "postroad domain add"},
		{"domain add Example.NET", 0, "is kept here"},
		{"domain add example.net", 65, "postroad domain set"},
		{"domain add x@example.net", 65, "not the name of a domain"},
		{"domain add Bücher.example", 65, "xn--bcher-kva.example is in relay.domains of the " +
			"configuration: its mail is relayed on\n  a domain's mail is either"},
		{"domain set example.net --separator ab", 65, "a separator is one of"},
		{"domain set example.net --separator -", 0, "changed"},
		{"user add alice@example.net --password-stdin --hard-quota 1GiB --soft-quota 900MiB", 0,
			"added"},
		{"user add bob@example.net --password-stdin --no-mailbox --forward bob@example.org", 0,
			"added"},
		{"user set bob@example.net --keep-copy --mailbox --forward b@example.org --forward " +
			"c@example.org", 0, "changed"},
		{"user set bob@example.net --soft-quota lots", 64, "soft-quota"},
		{"user set alice@example.net --soft-quota 2GiB", 65, "not above the hard one"},
		{"user set carol@example.net --disable", 65, "postroad user list"},
		{"alias add sales@example.net", 64, "where its mail goes"},
		{"alias add sales@example.net alice@example.net Bob@example.org", 0, "added"},
		{"alias add alice@example.net bob@example.net", 65, "a user of that name"},
		{"user add sales@example.net --password-stdin", 65, "an alias of that name"},
		{"alias add news@example.net alice@example.net --owner news-admin@example.net", 0, "added"},
		{"alias set news@example.net --add carol@example.org --add ALICE@example.net", 0,
			"changed"},
		{"alias set news@example.net --remove Alice@example.net", 0, "changed"},
		{"alias add @example.net alice@example.net", 0, "added"},
		{"alias add @example.net", 64, ""},
		{"domain remove example.net", 65, "remove them first"},
		{"alias show nobody@example.net", 65, "postroad alias list"},
		{"alias show nobody", 65, "an alias is an address"},
		{"user show nobody@example.net", 65, "postroad user list"},
		{"user show nobody", 65, "mail address to log in with"},
		{"user show", 64, "one user is needed"},
	} {
		status, _, errs := postroad(t, "secret\n", strings.Fields(c.args)...)
		if status != c.want || !strings.Contains(errs, c.says) {
			t.Errorf("postroad %s: %d, %q", c.args, status, errs)
		}
	}
	for args, want := range map[string]string{
		"user list": "alice@example.net  quota 1GiB  soft quota " +
			"900MiB\nbob@example.net  forwards to b@example.org c@example.org and the mailbox\n",
		"domain list": "example.net  separator -  in the configuration\n" +
			"mx1.example  separator +  in the configuration\n" +
			"xn--zrich-kva.example  separator +  in the configuration\n",
		"domain export": "domain,separator\nexample.net,-\n",
		"alias list": "@example.net  to alice@example.net\nnews@example.net  to " +
			"carol@example.org  owner news-admin@example.net\nsales@example.net  to " +
			"alice@example.net Bob@example.org\n",
		"domain list --json":                 `"name":"example.net","separator":"-"`,
		"alias list --json":                  `"owner":"news-admin@example.net","targets":["carol@example.org"]`,
		"alias show News@example.net --json": `"owner":"news-admin@example.net","targets":["carol@`,
		"user show bob@example.net --json":   `"name":"bob@example.net"`,
	} {
		_, out, errs := postroad(t, "", strings.Fields(args)...)
		if strings.HasSuffix(args, "--json") && strings.Contains(out, want) {
			continue
		}
		if out != want {
			t.Errorf("postroad %s: %s%s", args, out, errs)
		}
	}
	for args, want := range map[string]string{
		"alias show Sales@example.net": `^name         sales@example\.net
to           alice@example\.net
to           Bob@example\.org
created      \d{4}-\d\d-\d\dT.*
changed      .*
$`,
		"alias show @example.net": `^name         @example\.net
to           alice@example\.net
`,
		"user show Bob@example.net": `^name         bob@example\.net
forwards to  b@example\.org c@example\.org and the mailbox
created      .*
changed      .*
$`,
	} {
		_, out, errs := postroad(t, "", strings.Fields(args)...)
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("postroad %s:\n%s%s", args, out, errs)
		}
	}
	for _, args := range []string{"alias remove news@example.net", "alias remove @example.net",
		"user remove bob@example.net --keep-mail", "domain remove example.net --all"} {
		if status, _, errs := postroad(t, "", strings.Fields(args)...); status != 0 {
			t.Errorf("postroad %s: %s", args, errs)
		}
	}
}
