package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// Plots are SVG, in the colours of the page's style sheet: class sN is system N of the scenario.
// They are drawn for the width of a phone, so that their text is of the page's size there; on a
// wide screen two stand side by side.

const (
	plotWidth  = 372.0
	nameWidth  = 108.0
	valueWidth = 52.0
	rowHeight  = 17.0
	barHeight  = 11.0
	groupGap   = 12.0
	groupHead  = 19.0
)

// svg collects elements.
type svg struct {
	b      strings.Builder
	height float64
}

func (s *svg) text(x, y float64, class, anchor, text string) {
	fmt.Fprintf(&s.b, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class,
		anchor, html.EscapeString(text))
}

func (s *svg) rect(x, y, w, h float64, class, title string) {
	fmt.Fprintf(&s.b,
		`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" class="%s"><title>%s</title></rect>`, x, y, max(w, 1), h, class, html.EscapeString(title))
}

func (s *svg) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&s.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2,
		class)
}

func (s *svg) done(label string) template.HTML {
	return template.HTML(
		fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">%s</svg>`, plotWidth,
			s.height, html.EscapeString(label), s.b.String()))
}

// barPlot draws a metric: a group of bars for each cell, one for each system, with the range of the
// rounds over its end. Each group has a scale of its own: what is compared are the systems, and a
// cell of small messages would make one of large ones invisible.
func barPlot(s *Scenario, m Metric) template.HTML {
	var p svg
	for _, c := range s.Cells {
		most := 0.0
		for _, r := range c.Results {
			if f, ok := r.Figure(m.Name); ok {
				most = math.Max(most, f.Max)
			}
		}
		if most == 0 {
			continue
		}
		p.height += groupHead
		p.text(0, p.height-6, "cell", "start", c.Name)
		for _, r := range c.Results {
			if f, ok := r.Figure(m.Name); ok {
				p.bar(r.System, classOf(s, r.System), m, f, most)
			}
		}
		p.height += groupGap
	}
	return p.done(m.Title + ", " + m.Unit)
}

func (s *svg) bar(system, class string, m Metric, f Spread, most float64) {
	const room = plotWidth - nameWidth - valueWidth
	y, at := s.height, func(v float64) float64 { return nameWidth + v/most*room }
	s.text(nameWidth-8, y+barHeight-1.5, "name", "end", Title(system))
	s.rect(nameWidth, y, at(f.Median)-nameWidth, barHeight, class,
		fmt.Sprintf("%s: %s %s", Title(system), m.FormatSpread(f), m.Unit))
	if f.Max > f.Min {
		mid := y + barHeight/2
		s.line(at(f.Min), mid, at(f.Max), mid, "whisker")
		s.line(at(f.Min), mid-3, at(f.Min), mid+3, "whisker")
		s.line(at(f.Max), mid-3, at(f.Max), mid+3, "whisker")
	}
	s.text(math.Max(at(f.Median), at(f.Max))+6, y+barHeight-1.5, "value", "start",
		m.Format(f.Median))
	s.height += rowHeight
}

// classOf is the colour of a system: the same everywhere on the page.
func classOf(_ *Scenario, system string) string { return "s-" + system }

// timelines draws what arrived over time, one band for each system of a cell.
func timelines(c *Cell) template.HTML {
	const left, right, band, head = 4.0, 4.0, 70.0, 20.0
	var p svg
	steps := 0
	for _, r := range c.Results {
		steps = max(steps, len(r.Timeline))
	}
	if steps < 4 {
		return ""
	}
	x := func(step float64) float64 { return left + step/float64(steps)*(plotWidth-left-right) }
	for _, r := range c.Results {
		if len(r.Timeline) == 0 {
			continue
		}
		most := int64(1)
		for _, n := range r.Timeline {
			most = max(most, n)
		}
		perSecond := float64(most) / TimelineStep.Seconds()
		p.text(left, p.height+13, "cell", "start", Title(r.System))
		p.text(plotWidth-right, p.height+13, "value", "end", "most "+grouped(perSecond)+"/s")
		base := p.height + head + band
		var d strings.Builder
		fmt.Fprintf(&d, "M%.1f %.1f", x(0), base)
		for i, n := range r.Timeline {
			y := base - float64(n)/float64(most)*band
			fmt.Fprintf(&d, "L%.1f %.1fL%.1f %.1f", x(float64(i)), y, x(float64(i+1)), y)
		}
		fmt.Fprintf(&d, "L%.1f %.1fZ", x(float64(len(r.Timeline))), base)
		fmt.Fprintf(&p.b, `<path d="%s" class="area s-%s"/>`, d.String(),
			html.EscapeString(r.System))
		p.line(left, base, plotWidth-right, base, "axis")
		for _, m := range r.Marks {
			at := x(m.At / TimelineStep.Seconds())
			p.line(at, p.height+head, at, base, "mark")
			anchor := "start"
			if at > plotWidth*0.7 {
				anchor, at = "end", at-8
			}
			p.text(at+4, p.height+head+10, "value", anchor, m.Text)
		}
		p.height = base + 6
	}
	total := float64(steps) * TimelineStep.Seconds()
	p.height += 14
	p.text(left, p.height-3, "value", "start", "0 s")
	p.text(plotWidth-right, p.height-3, "value", "end", fmt.Sprintf("%.0f s", total))
	return p.done("messages that arrived, over time: " + c.Name)
}
