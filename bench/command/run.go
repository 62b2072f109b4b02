package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	benchreport "github.com/postroad/postroad/bench/report"
	"github.com/postroad/postroad/bench/run"
	"github.com/postroad/postroad/bench/scenarios"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/operate/admin/api"
)

const runHelp = `
Starts the systems that a scenario names (Postroad, Postfix, Exim, OpenSMTPD), a generator and a receiving server on loopback, measures them in
alternation, and checks after each measurement that everything that was acknowledged arrived, once and unchanged. Writes report.json, report.md and report.html.
The exit status is 0 only when every check passed; with --strict the scenario's bars have to hold as well. A SCENARIO is the name of one that comes with the
program, or a file; "all" is all that come with it and takes half an hour. With --short all of it takes less than a minute: as many of the measurements as
there is time for, of a moment each. That shows that everything works; every check is made, and no figure is judged.

    postroad bench run all --short                does it work here?
    postroad bench run all --out docs/bench       the report of docs/performance.md
    postroad bench run relay --only '4 KiB, 20*' --system node,postfix

The scenarios: `

func runText() string { return runHelp + strings.Join(scenarios.Names(), ", ") + "." }

func runScenarios(ctx context.Context, c *cli.Console, args []string) error {
	o := run.Options{Version: "Postroad " + version.Version, Commit: version.Revision,
		Command: "postroad bench run " + quoted(args)}
	fs := c.Flags()
	fs.IntVar(&o.Rounds, "rounds", 0,
		"`N` measurements of each system at each cell, instead of what the scenario says")
	fs.BoolVar(&o.Short, "short", false,
		"less than a minute in all: shows that it works; its figures are judged by nothing")
	fs.StringVar(&o.Only, "only", "",
		"only cells whose name matches the `PATTERN`, such as '4 KiB, 20*'")
	fs.StringVar(&o.Dir, "dir", os.TempDir(),
		"`FOLDER` for the data of the systems, on the disk to be measured; it must be open to "+
			"other users")
	out := fs.String("out", "",
		"`FOLDER` for the reports; default: a new one in the present folder")
	systems := fs.String("system", "", "only these of the scenario's systems: `NAME,NAME`")
	strict := fs.Bool("strict", false, "bars that do not hold are a failure")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if *strict && o.Short {
		return cli.Usage("--strict judges figures, and those of --short are of a moment",
			"leave out one of the two")
	}
	if *systems != "" {
		o.Systems = strings.Split(*systems, ",")
	}
	list, err := readScenarios(rest)
	if err != nil {
		return err
	}
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	// Nothing but the end of the systems under test ends this process, which takes seconds: neither
	// a second signal (timeout(1) sends two) nor a broken pipe (Ctrl-C ends what the output goes to
	// as well).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGINT, syscall.SIGTERM)
	o.Say = func(format string, args ...any) {
		fmt.Fprintf(c.Err, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
	}
	r, err := run.Run(ctx, list, o)
	return finishRun(c, r, err, *out, *strict)
}

// quoted writes arguments as they are given to a shell.
func quoted(args []string) string {
	var words []string
	for _, a := range args {
		if strings.ContainsAny(a, " *?[]'\"$") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// readScenarios finds what is named: "all", a scenario that comes with the program, or a file.
func readScenarios(names []string) (list []*run.Scenario, err error) {
	if len(names) == 0 {
		return nil, cli.Usage("which scenario?",
			"give the name of one, a file, or all; `postroad bench run --help` lists them")
	}
	if len(names) == 1 && names[0] == "all" {
		names = scenarios.Names()
	}
	for _, name := range names {
		var text []byte
		if strings.HasSuffix(name, ".toml") {
			text, err = os.ReadFile(name)
		} else {
			text, err = scenarios.Read(name)
		}
		if err != nil {
			return nil, cli.Usage(err.Error(), "a file's name ends in .toml")
		}
		s, err := run.Parse(name, text)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// finishRun writes the reports of what was done, even when not all of it was, and says how it
// went.
func finishRun(c *cli.Console, r *benchreport.Report, runErr error, out string, strict bool) error {
	if len(r.Scenarios) == 0 {
		return runErr
	}
	if out == "" {
		out = "bench-" + r.Started.Format("20060102-150405")
	}
	if err := errors.Join(runErr, writeReports(r, out)); err != nil {
		return err
	}
	missed := r.Missed()
	for _, m := range missed {
		fmt.Fprintf(c.Err, "bar not held: %s\n", m)
	}
	fmt.Fprintf(c.Out, "reports: %s\n", filepath.Join(out, "report.html"))
	if faults := r.Faults(); len(faults) > 0 {
		return &api.Error{Exit: api.ExitSoftware, Message: "the integrity check failed:\n" +
			strings.Join(faults, "\n"), Hint: "report.json has all of it"}
	}
	if strict && len(missed) > 0 {
		return &api.Error{Exit: api.ExitSoftware, Message: fmt.Sprintf("%d bars do not hold",
			len(missed))}
	}
	return nil
}

func writeReports(r *benchreport.Report, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, form := range []struct {
		name  string
		write func(io.Writer) error
	}{{"report.json", r.WriteJSON}, {"report.md", r.WriteMarkdown}, {"report.html", r.WriteHTML}} {
		f, err := os.Create(filepath.Join(dir, form.name))
		if err != nil {
			return err
		}
		if err := errors.Join(form.write(f), f.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", form.name, err)
		}
	}
	return nil
}
