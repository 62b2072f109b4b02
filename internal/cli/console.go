// Package cli is the frame of a command line: a tree of commands with help, flags that may stand
// anywhere, output for people or as JSON, and exit statuses (sysexits.h). Completion for shells and
// manual pages are made from the same tree (table.go).
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// Command is one row of the command line: a command, or a group of them.
type Command struct {
	Name  string
	Args  string // what follows the name in the usage line
	Short string // one line for the overview
	Long  string // what a newcomer wants to know, with an example
	Run   func(ctx context.Context, c *Console, args []string) error
	Sub   []Command // of a group, which has no run unless it is a command, too
}

// ExitStatus ends the process with a status whose reason was told before.
type ExitStatus int

func (ExitStatus) Error() string { return "" }

// Dispatch finds the command that args name and runs it.
func Dispatch(ctx context.Context, c *Console, rows []Command, path string, args []string) error {
	if len(args) == 0 {
		overview(c.Err, rows, path)
		return Usage("no command", "")
	}
	name, rest := args[0], args[1:]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		if len(rest) > 0 {
			return Dispatch(ctx, c, rows, path, append(rest, "--help"))
		}
		overview(c.Out, rows, path)
		return nil
	}
	for _, row := range rows {
		switch {
		case row.Name != name:
		case row.Run == nil || len(rest) > 0 && slices.Contains(names(row.Sub), rest[0]):
			return Dispatch(ctx, c, row.Sub, path+" "+name, rest)
		default:
			c.Command, c.Path = row, path+" "+name
			return row.Run(ctx, c, rest)
		}
	}
	hint := "`" + path + " help` lists them"
	if near := config.Nearest(strings.ToLower(name), names(rows)); near != "" {
		hint = "did you mean `" + path + " " + near + "`? " + hint
	}
	return Usage(fmt.Sprintf("%q is no command of `%s`", name, path), hint)
}

func names(rows []Command) (names []string) {
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return names
}

// overview lists commands.
func overview(w io.Writer, rows []Command, path string) {
	fmt.Fprintf(w, "Usage: %s COMMAND ...\n\n", path)
	for _, row := range rows {
		fmt.Fprintf(w, "  %-10s %s\n", row.Name, row.Short)
	}
	fmt.Fprintf(w, "\n`%s COMMAND --help` explains one.\n", path)
}

// Console is where a command reads and writes. Data goes to Out, messages for people to Err.
type Console struct {
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Command Command // the row that is running
	Path    string  // its full name

	flags func(*flag.FlagSet) // wants them instead of a run; nil: nobody does
}

// errHelp says that help was asked for and given.
var errHelp = errors.New("help was given")

// Usage is the error of a command line that cannot be meant.
func Usage(message, hint string) error {
	return &api.Error{Exit: api.ExitUsage, Message: message, Hint: hint}
}

// Exit tells people of an error and returns the exit status (sysexits.h).
func (c *Console) Exit(err error) int {
	if err == nil || errors.Is(err, errHelp) {
		return 0
	}
	var status ExitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	fmt.Fprintln(c.Err, "postroad: "+strings.ReplaceAll(err.Error(), "\n", "\n  "))
	var e *api.Error
	var problems config.Problems
	switch {
	case errors.As(err, &e):
		return e.Exit
	case errors.As(err, &problems):
		return api.ExitConfig
	}
	return api.ExitSoftware
}

// Flags returns the flag set of the running command. Its help is the command's.
func (c *Console) Flags() *flag.FlagSet {
	fs := flag.NewFlagSet(c.Path, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // parse reports
	return fs
}

// Parse reads flags wherever they stand among the arguments, and returns the others.
func (c *Console) Parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	if c.flags != nil {
		c.flags(fs)
		return nil, errHelp
	}
	twice, asTheyWere := onceEach(fs)
	for {
		err := fs.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			asTheyWere()
			c.help(fs)
			return nil, errHelp
		}
		if *twice != "" {
			return nil, Usage(
				"--"+*twice+" is given twice, and takes one value",
				"give it once; run the command for each value, where several are meant",
			)
		}
		if err != nil {
			return nil, c.wrongFlag(fs, err)
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		ended := len(args) > fs.NArg() && args[len(args)-fs.NArg()-1] == "--"
		if ended {
			return append(rest, fs.Args()...), nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

// wrongFlag says what is wrong with a flag, and asks for the one that was meant if there is none of
// that name.
func (c *Console) wrongFlag(fs *flag.FlagSet, err error) error {
	hint := "`" + c.Path + " --help` lists the flags"
	name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !ok {
		return Usage(strings.Replace(err.Error(), " -", " --", 1), hint)
	}
	var all []string
	fs.VisitAll(func(f *flag.Flag) { all = append(all, f.Name) })
	if near := config.Nearest(strings.ToLower(name), all); near != "" {
		hint = "did you mean --" + near + "? " + hint
	}
	return Usage("--"+name+" is no flag of `"+c.Path+"`", hint)
}

// NoMore refuses arguments that a command does not take.
func NoMore(rest []string) error {
	if len(rest) > 0 {
		return Usage(fmt.Sprintf("%q is one argument too many", rest[0]), "")
	}
	return nil
}

func (c *Console) help(fs *flag.FlagSet) {
	fmt.Fprintf(c.Out, "Usage: %s %s\n\n%s.\n", c.Path, c.Command.Args,
		sentenceCase(c.Command.Short))
	if c.Command.Long != "" {
		fmt.Fprintf(c.Out, "\n%s\n", strings.TrimSpace(c.Command.Long))
	}
	first := true
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprintln(c.Out, "\nFlags:")
			first = false
		}
		o := optionOf(f)
		fmt.Fprintf(c.Out, "  %-24s %s\n", o.spelled(), o.about)
	})
	if sub := c.Command.Sub; len(sub) > 0 {
		fmt.Fprintf(c.Out, "\n`%s %s --help` explains what else there is.\n", c.Path,
			strings.Join(names(sub), "|"))
	}
}

func sentenceCase(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
