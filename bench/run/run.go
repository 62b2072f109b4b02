package run

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/bench/report"
)

// Options of a run.
type Options struct {
	Program string // the postroad binary that is measured
	Version string // of it
	Commit  string // that it was built from
	Command string // that was given, for the report
	// for the data of the systems, on a disk; every user can enter it
	Dir    string
	Rounds int // instead of the scenarios'; 0: theirs
	// less than a minute in all: shows that it works, and judges no figure
	Short bool
	Only  string // pattern of cells; "": all
	// instead of the scenarios'; each cell runs with those of its systems that are named here
	Systems []string
	Say     func(format string, args ...any) // how it goes, a line each; may be nil
}

// The short form.
const (
	shortDuration = 600 * time.Millisecond
	shortShare    = 100 // of what is counted in messages
	shortPatience = 10 * time.Second
	shortStalled  = 2 * time.Second
)

// Run runs scenarios one after another. What went wrong with a system or with mail is in the
// report; an error is for what keeps all of it from running, ctx for one, and the report then has
// what was done so far.
func Run(ctx context.Context, scenarios []*Scenario, o Options) (*report.Report, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	r := &report.Report{Version: o.Version, Commit: o.Commit, Command: o.Command, Short: o.Short,
		Started: time.Now()}
	defer func() { r.Took = time.Since(r.Started) }()
	disk, err := measure.MeasureDisk(o.Dir)
	if err != nil {
		return r, err
	}
	r.Machine = report.Machine{Processors: runtime.NumCPU(), Model: measure.Processor(),
		Kernel: measure.Kernel(), Disk: disk}
	o.Say("%s on %s, bare fsync %v, synced sequential writes %.0f MiB/s", o.Dir, disk.FileSystem,
		disk.Fsync.Round(10*time.Microsecond), disk.Sequential/(1<<20))
	var dealt *budget
	within := ctx
	if o.Short {
		dealt = &budget{end: r.Started.Add(shortStart), scenarios: len(scenarios)}
		var cancel context.CancelFunc
		within, cancel = context.WithDeadline(ctx, r.Started.Add(shortEnd))
		defer cancel()
		o.Say("the short form: less than a minute in all; its figures show that it works and are " +
			"held against nothing")
	}
	for _, s := range scenarios {
		sc := &scene{o: &o, s: s, disk: disk, time: dealt}
		out, err := sc.run(within)
		if len(out.Cells) > 0 || len(out.LeftOut) > 0 {
			r.Scenarios = append(r.Scenarios, out)
		}
		if err != nil && (ctx.Err() != nil || within.Err() == nil) {
			return r, err
		}
	}
	if len(r.Scenarios) == 0 {
		return r, errors.New("no cell and system was chosen")
	}
	return r, nil
}

// run runs one scenario.
func (sc *scene) run(ctx context.Context) (*report.Scenario, error) {
	s := sc.s
	out := &report.Scenario{Name: s.Name, Title: s.Title, About: s.About, Load: loadNames[s.Load]}
	ready, missing := sc.systems(out)
	sc.time.next(time.Now())
	for _, p := range sc.points() {
		c := &report.Cell{Name: p.name}
		if err := sc.cell(ctx, p, c, ready, missing, out); err != nil {
			return out, err // half of a cell is none
		}
		if len(c.Results) > 0 {
			out.Cells = append(out.Cells, c)
		}
	}
	if n := len(out.LeftOut); n > 0 {
		sc.o.Say("%-12s measurements left to the long form: %d", s.Name, n)
	}
	sc.judge(out)
	return out, nil
}

// judge holds the bars against the figures. Those of the short form are of a moment, and are held
// against nothing.
func (sc *scene) judge(out *report.Scenario) {
	if sc.o.Short {
		return
	}
	for i := range sc.s.Bars {
		for _, b := range sc.s.Bars[i].Judge(out) {
			if partly := sc.o.Only != "" || len(sc.o.Systems) > 0; !partly ||
				b.Verdict != report.Absent {
				out.Bars = append(out.Bars, b)
			}
		}
	}
}

var loadNames = map[string]string{
	"postroad": "postroad bench send and postroad bench sink; every message is known again by " +
		"its hash",
	postfixTools: "Postfix's smtp-source and smtp-sink, which count messages",
}

// points are those that were asked for. What a scenario is about comes last in it, after what it is
// held against: the short form begins there.
func (sc *scene) points() (all []point) {
	for i := range sc.s.Cells {
		for _, p := range sc.s.Cells[i].points() {
			if sc.wanted(p) {
				all = append(all, p)
			}
		}
	}
	if sc.o.Short {
		slices.Reverse(all)
	}
	return all
}

// wanted reports whether a cell was asked for.
func (sc *scene) wanted(p point) bool {
	ok, err := path.Match(sc.o.Only, p.name)
	if !ok && err == nil {
		ok, err = path.Match(sc.o.Only, sc.s.Name)
	}
	return sc.o.Only == "" || ok || err != nil
}

// systems looks which of the scenario's systems can run.
func (sc *scene) systems(out *report.Scenario) (ready []string, missing map[string]error) {
	missing = map[string]error{}
	var names []string
	for i := range sc.s.Cells {
		for _, name := range sc.s.Cells[i].Systems {
			if !slices.Contains(names, name) &&
				(len(sc.o.Systems) == 0 || slices.Contains(sc.o.Systems, name)) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		about, err := info(name, sc.o.Version)
		if err == nil && sc.s.Load == postfixTools {
			err = peers.ToolsAvailable()
		}
		if err != nil {
			sc.o.Say("%s: %s is left out: %v", sc.s.Name, report.Title(name), err)
			missing[name] = err
			continue
		}
		out.Systems = append(out.Systems, about)
		ready = append(ready, name)
	}
	return ready, missing
}

// cell measures all systems at one point, in alternation; in the short form one after another, and
// those that there is time for.
func (sc *scene) cell(
	ctx context.Context, p point, c *report.Cell, ready []string, missing map[string]error,
	out *report.Scenario,
) error {
	var able []string
	for _, name := range p.Systems {
		if err := missing[name]; err != nil && !sc.o.Short {
			c.Results = append(c.Results, &report.Result{System: name, Problem: err.Error()})
		}
		if slices.Contains(ready, name) {
			able = append(able, name)
		}
	}
	if !sc.o.Short {
		return sc.measure(ctx, p, c, able)
	}
	for _, name := range able {
		start := time.Now()
		if ctx.Err() != nil || !sc.time.allows(start) {
			out.LeftOut = append(out.LeftOut, p.name+": "+report.Title(name))
			continue
		}
		if err := sc.measure(ctx, p, c, []string{name}); err != nil {
			out.LeftOut = append(out.LeftOut, p.name+": "+report.Title(name))
			return err
		}
		sc.time.took(time.Since(start))
	}
	return nil
}

// measure measures some systems at one point, in alternation.
func (sc *scene) measure(ctx context.Context, p point, c *report.Cell, systems []string) error {
	var stages []*stage
	defer func() {
		for _, st := range stages {
			if err := st.close(); err != nil {
				sc.o.Say("%s, %s, %s: %v", sc.s.Name, p.name, report.Title(st.name), err)
			}
		}
	}()
	for _, name := range systems {
		st, err := newStage(ctx, sc, p, name, nil)
		c.Results = append(c.Results, st.result)
		if err == nil {
			stages = append(stages, st)
			err = st.prepare(ctx)
		}
		if err != nil {
			st.problem(err)
		}
	}
	rounds := p.Rounds
	if sc.o.Rounds > 0 {
		rounds = sc.o.Rounds
	} else if sc.o.Short {
		rounds = 1
	}
	for range rounds {
		for _, st := range stages {
			st.round(ctx)
		}
	}
	for _, st := range stages {
		st.finish(ctx)
	}
	if ctx.Err() == nil {
		for _, st := range stages {
			sc.say(p, st.result)
		}
	}
	return ctx.Err()
}

// prepare brings a system to the point that is to be measured.
func (st *stage) prepare(ctx context.Context) (err error) {
	// before there is memory that was used and is free: it would hide what they cost
	if st.Idle > 0 {
		if st.closeIdle, err = st.openIdle(); err != nil {
			return err
		}
	}
	if err := st.warmUp(ctx); err != nil {
		return err
	}
	if st.Backlog > 0 {
		return st.fill(ctx)
	}
	return nil
}

// round measures once. A system that had a problem is measured no more.
func (st *stage) round(ctx context.Context) {
	if st.result.Problem != "" || ctx.Err() != nil {
		return
	}
	measure := map[string]func(context.Context) error{"through": st.through, "drain": st.drain,
		"kill": st.kill}[st.Kind]
	if err := measure(ctx); err != nil {
		st.problem(err)
	}
}

// finish does what is done once, after the rounds.
func (st *stage) finish(ctx context.Context) {
	if st.closeIdle != nil {
		st.closeIdle()
	}
	if st.result.Problem != "" || ctx.Err() != nil {
		return
	}
	if st.DrainBacklog {
		if err := st.drainBacklog(ctx); err != nil {
			st.problem(err)
			return
		}
	}
	if st.Fsyncs && !st.scene.o.Short {
		if err := countFsyncs(ctx, st.scene, st.point, st); err != nil {
			st.scene.o.Say("%s, %s: fsyncs were not counted: %v", st.point.name,
				report.Title(st.name), err)
		}
	}
}

// problem notes why a system has no figures. For one of ours that is a fault; what others are not
// able to do is theirs.
func (st *stage) problem(err error) {
	st.result.Problem = err.Error()
	if _, ours := nodesOf(st.name); ours {
		st.fault("it could not be measured: %v", err)
	}
	if st.system != nil && !errors.Is(err, context.Canceled) {
		st.scene.o.Say("%s, %s: %v\n%s", st.point.name, report.Title(st.name), err,
			st.system.log())
	}
}

// say tells of a result in one line.
func (sc *scene) say(p point, r *report.Result) {
	line := fmt.Sprintf("%-12s %-26s %-18s", sc.s.Name, p.name, report.Title(r.System))
	if len(r.Faults) > 0 {
		sc.o.Say("%s FAILED: %v", line, r.Faults)
		return
	}
	if r.Problem != "" {
		sc.o.Say("%s no figures: %s", line, r.Problem)
		return
	}
	for _, m := range report.Metrics() {
		if f, ok := r.Figure(m.Name); ok && slices.Contains(said, m.Name) {
			line += fmt.Sprintf("  %s %s %s", m.Title, m.FormatSpread(f), m.Unit)
		}
	}
	sc.o.Say("%s", line)
}

// said are the metrics of the progress lines.
var said = []string{"rate", "cpu", "accept_rate", "drain_rate", "recipients", "memory",
	"idle_memory", "fsyncs", "takeover"}
