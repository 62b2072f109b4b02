package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/version"
)

const manHelp = `
Prints a manual page: without COMMAND that of the program, else that of a command and what is below it. --all writes every page
into a directory, which is made if need be, for packages and installations.

    postroad man queue | man -l -
    postroad man --all /usr/share/man/man1`

// manualEnd is what the page of the program says besides.
const manualEnd = `.SH EXIT STATUS
.TP
.B 0
What was asked for was done.
.TP
.B 64
The command line cannot be meant.
.TP
.B 65
What was named, or a file, is not what the command takes; nothing was changed, or what was is told.
.TP
.B 69
No node answers.
.TP
.B 70
Something that must not happen happened; a report is welcome.
.TP
.B 74
A disk fails.
.TP
.B 75
Not now, or not all of it: try again.
.TP
.B 77
Not permitted.
.TP
.B 78
The configuration, the data directory or a port keeps the node from running, and a person has to look.
.SH ENVIRONMENT
.TP
.B POSTROAD_NODE
The node that commands talk to when neither \-\-node nor \-\-config says: a socket, a data directory, or HOST:PORT.
.TP
.B POSTROAD_TOKEN
The token for HOST:PORT.
.SH FILES
.TP
.I ` + config.DefaultPath + `
The configuration when \-\-config names no other and it is there.
.B postroad config reference
explains every key.
`

// ManCommand is the row of a command that prints the manual pages of the program of that name,
// whose commands are those of table.
func ManCommand(program, about string, table func() []Command) Command {
	return Command{Name: "man", Args: "[COMMAND] | --all DIRECTORY",
		Short: "print the manual pages, or write all into a directory", Long: manHelp,
		Run: func(_ context.Context, c *Console, args []string) error {
			fs := c.Flags()
			dir := fs.String("all", "", "write every page into this `DIRECTORY`")
			rest, err := c.Parse(fs, args)
			if err != nil {
				return err
			}
			pages := manual(program, about, table())
			switch {
			case *dir != "" && len(rest) == 0:
				return writePages(*dir, pages)
			case *dir != "" || len(rest) > 1:
				return Usage("one page is needed, or --all DIRECTORY",
					"for example: "+c.Path+" queue")
			}
			name := strings.Join(append([]string{program}, rest...), "-")
			for _, p := range pages {
				if p.name == name {
					_, err := io.WriteString(c.Out, p.text)
					return err
				}
			}
			return Usage(fmt.Sprintf("there is no page %q", name),
				"`"+program+" help` lists the commands")
		}}
}

// page is one manual page, of section 1.
type page struct{ name, text string }

func writePages(dir string, pages []page) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range pages {
		if err := os.WriteFile(filepath.Join(dir, p.name+".1"), []byte(p.text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manual makes the page of the program and one of each of its commands.
func manual(program, about string, rows []Command) []page {
	all := entries(rows, program)
	var commands, also strings.Builder
	for i, row := range rows {
		name := program + "-" + row.Name
		fmt.Fprintf(&commands, ".TP\n.BR %s (1)\n%s.\n", roff(name), roff(sentenceCase(row.Short)))
		if i > 0 {
			also.WriteString(",\n")
		}
		fmt.Fprintf(&also, ".BR %s (1)", roff(name))
	}
	pages := []page{{program, head(program, about) + ".B " + roff(program) + "\nCOMMAND ...\n" +
		".SH DESCRIPTION\nEach command has a page of its own; \n.B " + roff(program+" help") +
		"\nlists them, and\n.B " + roff("--help") + "\nafter one explains it.\n.SH COMMANDS\n" +
		commands.String() + manualEnd + ".SH SEE ALSO\n" + also.String() + "\n"}}
	for _, row := range rows {
		pages = append(pages, commandPage(program, row, all))
	}
	return pages
}

// head begins a page, up to its synopsis.
func head(name, about string) string {
	return fmt.Sprintf(".TH %s 1 \"\" \"%s\" \"Postroad\"\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n",
		roff(strings.ToUpper(name)), roff("postroad "+version.Version), roff(name), roff(about))
}

// commandPage is the page of a command, with all that is below it.
func commandPage(program string, row Command, all []entry) page {
	path := program + " " + row.Name
	name := strings.ReplaceAll(path, " ", "-")
	var synopsis, text strings.Builder
	for _, e := range all {
		if e.path != path && !strings.HasPrefix(e.path, path+" ") {
			continue
		}
		if e.Run == nil {
			continue
		}
		fmt.Fprintf(&synopsis, ".HP\n.B %s\n%s\n", roff(e.path), roff(e.Args))
		if e.path != path {
			fmt.Fprintf(&text, ".SS %s\n", roff(strings.TrimSpace(e.path+" "+e.Args)))
		}
		fmt.Fprintf(&text, "%s.\n.PP\n", roff(sentenceCase(e.Short)))
		prose(&text, e.Long)
		if e.path == path && len(e.options) > 0 {
			text.WriteString(".SH OPTIONS\n")
		}
		for _, o := range e.options {
			fmt.Fprintf(&text, ".TP\n.B %s\n%s\n", roff(o.spelled()), roff(o.about))
		}
	}
	return page{name, head(name, row.Short) + synopsis.String() + ".SH DESCRIPTION\n" +
		text.String() + ".SH SEE ALSO\n.BR " + roff(program) + " (1)\n"}
}

// prose writes a help text: its paragraphs filled, and what is indented as it stands.
func prose(w *strings.Builder, text string) {
	open := false // an example
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		example := strings.HasPrefix(line, "    ")
		switch {
		case text == "":
		case example && !open:
			w.WriteString(".PP\n.nf\n.RS 4\n")
		case open && !example:
			w.WriteString(".RE\n.fi\n")
		}
		switch open = example; {
		case text == "":
		case strings.TrimSpace(line) == "" && !example:
			w.WriteString(".PP\n")
		default:
			w.WriteString(roff(strings.TrimPrefix(line, "    ")) + "\n")
		}
	}
	if open {
		w.WriteString(".RE\n.fi\n")
	}
}

// roff writes a text so that nothing in it is a command of roff.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, `"`, `\(dq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`,
		"\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
