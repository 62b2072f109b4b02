package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteMarkdown writes the report as it stands in docs: what it was taken on, the bars, and a table
// for each scenario.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Bench report\n\n%s\n\n", r.summary())
	for _, line := range r.facts() {
		fmt.Fprintf(&b, "- %s: %s\n", line[0], line[1])
	}
	if bars := r.bars(); len(bars) > 0 {
		b.WriteString(
			"\n## Bars\n\n| scenario | bar | cell | measured | |\n" +
				"| --- | --- | --- | --- | --- |\n")
		for _, row := range bars {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.Scenario, row.Text, row.Cell,
				row.Said, row.Verdict)
		}
	}
	for _, s := range r.Scenarios {
		s.markdown(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Scenario) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", s.Title, oneLine(s.About))
	if len(s.LeftOut) > 0 {
		fmt.Fprintf(b, "Left to the long form: %s.\n\n", strings.Join(s.LeftOut, "; "))
	}
	if len(s.Cells) == 0 {
		return
	}
	cols := columns(s.Cells)
	b.WriteString("| cell | system |")
	for _, m := range cols {
		fmt.Fprintf(b, " %s, %s |", m.Title, m.Unit)
	}
	b.WriteString(" integrity |\n|" + strings.Repeat(" --- |", len(cols)+3) + "\n")
	for _, c := range s.Cells {
		for _, res := range c.Results {
			fmt.Fprintf(b, "| %s | %s |", c.Name, Title(res.System))
			for _, m := range cols {
				fmt.Fprintf(b, " %s |", res.text(m))
			}
			fmt.Fprintf(b, " %s |\n", res.verdict())
		}
	}
}

// text is a figure, or "" where there is none.
func (r *Result) text(m Metric) string {
	if s, ok := r.Figure(m.Name); ok {
		return m.FormatSpread(s)
	}
	return ""
}

// verdict is what the integrity check says, in one line.
func (r *Result) verdict() string {
	switch {
	case len(r.Faults) > 0:
		return "FAILED: " + strings.Join(r.Faults, "; ")
	case r.Problem != "":
		return "no figures: " + r.Problem
	}
	return r.Integrity
}

// summary is the outcome in one sentence.
func (r *Report) summary() string {
	cells, messages := 0, int64(0)
	for _, s := range r.Scenarios {
		for _, c := range s.Cells {
			for _, res := range c.Results {
				messages += res.Messages
				if res.Problem == "" {
					cells++
				}
			}
		}
	}
	text := fmt.Sprintf("%s messages, %d combinations of system and load",
		grouped(float64(messages)), cells)
	if n := len(r.Faults()); n > 0 {
		text += fmt.Sprintf("; THE INTEGRITY CHECK FOUND %d FAULTS.", n)
	} else {
		text += "; nothing that was acknowledged was lost or changed."
	}
	if bars := r.bars(); len(bars) > 0 {
		hold := 0
		for _, b := range bars {
			if b.Verdict == Holds {
				hold++
			}
		}
		text += fmt.Sprintf(" %d of %d bars hold.", hold, len(bars))
	}
	if r.Short {
		text += " This is the short form: it shows that everything works. Its figures are of a " +
			"moment: they are held against nothing, and not for quoting."
	}
	return text
}

// facts are what the figures depend on.
func (r *Report) facts() [][2]string {
	d := r.Machine.Disk
	facts := [][2]string{
		{"Machine", fmt.Sprintf(
			"%d cores of %s, %s; the load and the receiving server run on it too",
			r.Machine.Processors, r.Machine.Model, r.Machine.Kernel)},
		{"Disk", fmt.Sprintf("%s, bare fsync of 4 KiB %.2f ms, synced sequential writes %.0f MiB/s",
			d.FileSystem, float64(d.Fsync)/float64(time.Millisecond), d.Sequential/(1<<20))},
		{"Postroad", fmt.Sprintf("%s, commit %s", strings.TrimPrefix(r.Version, "Postroad "),
			cmp.Or(r.Commit, "not known to the build"))},
	}
	seen := map[string]bool{}
	var others []string
	for _, s := range r.Scenarios {
		for _, sys := range s.Systems {
			if v := sys.Version; !seen[v] && v != "" && v != r.Version {
				seen[v] = true
				others = append(others, v)
			}
		}
	}
	if len(others) > 0 {
		facts = append(facts, [2]string{"Others", strings.Join(others, ", ")})
	}
	return append(facts, [2]string{"Figures", r.reading()},
		[2]string{"Taken",
			fmt.Sprintf("%s, in %s, by `%s`", r.Started.UTC().Format("2006-01-02 15:04 UTC"),
				r.Took.Round(time.Second), r.Command)})
}

// reading says how a figure is to be read.
func (r *Report) reading() string {
	rounds := "of several rounds the median, and in brackets the lowest to the highest; "
	if r.most() < 2 {
		rounds = "of one round each, so that nothing is known of their spread; "
	}
	return rounds + "p50 and p99: so many of 100 messages took no longer; µs of CPU: millionths " +
		"of a second of processor time, of all processes of the system"
}

// most is the largest number of rounds.
func (r *Report) most() (rounds int) {
	for _, s := range r.Scenarios {
		for _, c := range s.Cells {
			for _, res := range c.Results {
				for _, v := range res.Values {
					rounds = max(rounds, len(v))
				}
			}
		}
	}
	return rounds
}

// barRow is a bar with the scenario that it belongs to.
type barRow struct {
	Scenario string
	BarResult
}

func (r *Report) bars() (rows []barRow) {
	for _, s := range r.Scenarios {
		for _, b := range s.Bars {
			rows = append(rows, barRow{s.Title, b})
		}
	}
	return rows
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
