package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"bars": barPlot, "timelines": timelines, "columns": columns, "plots": plots, "oneline": oneLine,
	"title":   Title,
	"text":    func(r *Result, m Metric) string { return r.text(m) },
	"verdict": func(r *Result) string { return r.verdict() },
	"sound":   func(r *Result) bool { return len(r.Faults) == 0 },
}).Parse(pageText))

// WriteHTML writes one page that needs nothing else: styles and plots are in it, scripts there are
// none.
func (r *Report) WriteHTML(w io.Writer) error {
	return page.Execute(w, map[string]any{"R": r, "Summary": r.summary(), "Facts": r.facts(),
		"Bars": r.bars(), "Sound": r.Sound()})
}

// plots are the metrics worth a picture: those that any reader asks for first.
func plots(s *Scenario) (chosen []Metric) {
	wanted := map[string]bool{"rate": true, "cpu": true, "accept_rate": true, "drain_rate": true,
		"recipients": true, "recipient_cpu": true, "memory": true, "idle_memory": true}
	for _, m := range columns(s.Cells) {
		if wanted[m.Name] && len(chosen) < 4 {
			chosen = append(chosen, m)
		}
	}
	return chosen
}
