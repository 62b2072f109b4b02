package cli

import (
	"context"
	"flag"
	"slices"
	"strings"
	"testing"
)

// TestArguments: what a usage line takes besides flags.
func TestArguments(t *testing.T) {
	for usage, want := range map[string]struct {
		words string
		files bool
	}{
		"":                         {},
		"bash|zsh|fish":            {"bash zsh fish", false},
		"[--config FILE] [--json]": {},
		"FILE | - [--format a|b]":  {"", true},
		"--token TOKEN HOST:PORT":  {},
		"SCENARIO ... | all [flags] [--only PATTERN]": {"all flags", true},
		"ADDRESS|@DOMAIN TARGET ...":                  {},
		"[N [M] | FILE] [--json]":                     {"", true},
	} {
		words, files := arguments(usage)
		if strings.Join(words, " ") != want.words || files != want.files {
			t.Errorf("%q: %q, %v", usage, words, files)
		}
	}
}

// TestOptions: what completion and help know of a flag from its text.
func TestOptions(t *testing.T) {
	for _, c := range []struct {
		about, value string // and the default
		words        string
		files        bool
		help         string
	}{
		{"the `STATE`: ready, deferred or held; may be repeated", "", "ready deferred held", false,
			"the STATE: ready, deferred or held; may be repeated"},
		{"`FORMAT`: csv or json (default: csv)", "csv", "csv json", false,
			"FORMAT: csv or json (default: csv)"},
		{"`HOW`: off, starttls, implicit", "off", "off starttls implicit", false,
			"HOW: off, starttls, implicit (default off)"},
		{"the `FILE` to read", "", "", true, "the FILE to read"},
		{"a `TIME` such as 1h; 0s: for ever", "0s", "", false, "a TIME such as 1h; 0s: for ever"},
		{"the node: `PATH` of its socket, or HOST:PORT", "", "", true,
			"the node: PATH of its socket, or HOST:PORT"},
	} {
		fs := flag.NewFlagSet("x", flag.ContinueOnError)
		fs.String("f", c.value, c.about)
		o := optionOf(fs.Lookup("f"))
		if strings.Join(o.words, " ") != c.words || o.files != c.files || o.about != c.help {
			t.Errorf("%q: %+v", c.about, o)
		}
	}
}

// TestRoff: nothing in a text is a command of roff.
func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		".TH x":      `\&.TH x`,
		"'br":        `\(aqbr`,
		`a\fB "b"`:   `a\efB \(dqb\(dq`,
		"--all\n.SH": `\-\-all .SH`,
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestFlagsAreAskedFor: nothing of a command is done for its flags.
func TestFlagsAreAskedFor(t *testing.T) {
	ran := false
	rows := []Command{{Name: "group", Sub: []Command{{Name: "one",
		Run: func(_ context.Context, c *Console, args []string) error {
			fs := c.Flags()
			fs.Bool("loud", false, "say more")
			if _, err := c.Parse(fs, args); err != nil {
				return err
			}
			ran = true
			return nil
		}}}}}
	all := entries(rows, "x")
	if ran || len(all) != 2 || all[1].path != "x group one" || len(all[1].options) != 1 ||
		all[1].options[0].name != "loud" || !slices.Equal(names(all[0].Sub), []string{"one"}) {
		t.Errorf("ran: %v, %+v", ran, all)
	}
}
