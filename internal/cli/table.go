package cli

import (
	"context"
	"flag"
	"io"
	"regexp"
	"strings"
)

// entry is one row of the whole tree of commands, with its flags: what help shows of it, completion
// offers and a manual page explains.
type entry struct {
	Command
	path    string // "postroad queue list"
	options []option
	words   []string // of which an argument may be one
	files   bool     // arguments are names of files
}

// option is a flag.
type option struct {
	name   string
	value  string   // what stands for its value; "" for a switch
	about  string   // with its default
	words  []string // of which the value is one; nil: any
	files  bool     // the value is the name of a file
	repeat bool
}

// spelled is the option as help shows it.
func (o option) spelled() string { return strings.TrimSpace("--" + o.name + " " + o.value) }

// entries lists a tree, each group before what is in it.
func entries(rows []Command, path string) (all []entry) {
	for _, row := range rows {
		e := entry{Command: row, path: path + " " + row.Name}
		e.words, e.files = arguments(row.Args)
		if row.Run != nil {
			flagsOf(e).VisitAll(func(f *flag.Flag) { e.options = append(e.options, optionOf(f)) })
		}
		all = append(all, e)
		all = append(all, entries(row.Sub, e.path)...)
	}
	return all
}

// flagsOf asks a command for its flags. It gives them to Parse, as it does when it is run, and gets
// no further.
func flagsOf(e entry) *flag.FlagSet {
	all := flag.NewFlagSet(e.path, flag.ContinueOnError)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := &Console{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Command: e.Command,
		Path: e.path, flags: func(fs *flag.FlagSet) { all = fs }}
	_ = e.Run(ctx, c, []string{"--help"}) // that help was given
	return all
}

// named are values that are names of files, as usage lines write them.
var named = regexp.MustCompile(`^(FILE|PATH|DIR|DIRECTORY|FOLDER|RECORD|SENT|RECEIVED|SCENARIO)$`)

// choice is the part of a flag's text that lists what its value may be: "STATE: ready, deferred or
// held".
var choice = regexp.MustCompile(
	`^[^:]*[A-Z]+: ([a-z0-9]+(?:, [a-z0-9]+)*(?: or [a-z0-9]+)?)(?:$|[;(]| \()`)

// optionOf is what a flag says of itself. The default is added unless the text tells it.
func optionOf(f *flag.Flag) option {
	value, about := flag.UnquoteUsage(f)
	o := option{name: f.Name, value: value, about: about, files: named.MatchString(value),
		repeat: strings.Contains(about, repeatable)}
	if m := choice.FindStringSubmatch(about); m != nil {
		o.words = strings.FieldsFunc(strings.ReplaceAll(m[1], " or ", ", "), func(r rune) bool {
			return r == ',' || r == ' '
		})
	}
	switch f.DefValue {
	case "", "0", "0s", "false":
	default:
		if !strings.Contains(about, "default") {
			o.about = strings.TrimSpace(about) + " (default " + f.DefValue + ")"
		}
	}
	return o
}

var word = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// arguments says what a usage line takes besides flags: words that are spelled as they are, and
// names of files.
func arguments(usage string) (words []string, files bool) {
	ofFlag := false // the next is its value
	for _, part := range strings.Fields(usage) {
		bare := strings.Trim(part, "[]")
		if strings.HasPrefix(bare, "-") && bare != "-" {
			ofFlag = !strings.HasSuffix(part, "]")
			continue
		}
		for _, one := range strings.Split(bare, "|") {
			switch {
			case ofFlag:
			case named.MatchString(one):
				files = true
			case word.MatchString(one):
				words = append(words, one)
			}
		}
		ofFlag = false
	}
	return words, files
}
