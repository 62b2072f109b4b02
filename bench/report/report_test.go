package report

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{[]float64{3}, Spread{3, 3, 3, 1}},
		{[]float64{9, 1, 5}, Spread{1, 5, 9, 3}},
		{[]float64{4, 1, 2, 9}, Spread{1, 3, 9, 4}},
	} {
		if got, ok := SpreadOf(c.values); !ok || got != c.want {
			t.Errorf("%v: %v", c.values, got)
		}
	}
	if _, ok := SpreadOf(nil); ok {
		t.Error("there is no spread of nothing")
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		metric string
		value  float64
		want   string
	}{
		{"rate", 1234567.4, "1,234,567"}, {"rate", 999, "999"}, {"cpu", 4.26, "4.3"},
		{"memory", 64 << 20, "64"},
		{"fsyncs", 0.1849, "0.18"}, {"idle_memory", 5376, "5.2"},
	} {
		m, ok := MetricOf(c.metric)
		if got := m.Format(c.value); !ok || got != c.want {
			t.Errorf("%s of %v: %q, want %q", c.metric, c.value, got, c.want)
		}
	}
}

// sample is a report of two systems at two cells.
func sample() *Report {
	result := func(system string, rates, cpus []float64) *Result {
		return &Result{System: system, Integrity: "all arrived", Messages: 100,
			Values: map[string][]float64{"rate": rates, "cpu": cpus, "disk_share": {0.9}}}
	}
	s := &Scenario{
		Name: "relay", Title: "Relay <plain>", About: "What\nit is.",
		Systems: []SystemInfo{{"node", "one node", "Postroad 1"},
			{"postfix", "as it comes", "Postfix 3"}},
		Cells: []*Cell{
			{"4 KiB, 20 connections",
				[]*Result{result("node", []float64{5000, 6000, 4000}, []float64{100, 120, 110}),
					result("postfix", []float64{500, 400, 400}, []float64{2000, 2000, 2200})}},
			{"1 MiB, 20 connections", []*Result{result("node", []float64{80}, []float64{900}),
				{System: "postfix", Problem: "it is not installed"}}},
		},
	}
	s.Cells[0].Results[0].Timeline, s.Cells[0].Results[0].Marks = []int64{1, 5, 0, 7, 3},
		[]Mark{{0.5, "a node is killed"}}
	return &Report{Version: "Postroad 1", Commit: "abc", Command: "postroad bench run",
		Scenarios: []*Scenario{s}}
}

// TestBars: a ratio is the median of the rounds' ratios, other bars are of the median; a bar of
// something that was not measured does not hold.
func TestBars(t *testing.T) {
	s := sample().Scenarios[0]
	for _, c := range []struct {
		bar     Bar
		value   float64
		verdict Verdict
	}{
		// 10, 15, 10
		{Bar{Metric: "rate", Cell: "4 KiB*", AgainstSystem: "postfix", AtLeast: 10}, 10, Holds},
		{Bar{Metric: "rate", Cell: "4 KiB*", AgainstSystem: "postfix", AtLeast: 12}, 10, Fails},
		{Bar{Metric: "cpu", Cell: "4 KiB*", AgainstSystem: "postfix", AtMost: 0.05}, 0.05, Holds},
		{Bar{Metric: "rate", Cell: "4 KiB*", AtLeast: 5000}, 5000, Holds},
		{Bar{Metric: "rate", Cell: "4 KiB*", AtMost: 4999}, 5000, Fails},
		{Bar{Metric: "cpu", Cell: "1 MiB*", AgainstCell: "4 KiB, 20 connections", AtMost: 9},
			900.0 / 110, Holds},
		{Bar{Metric: "rate", Cell: "1 MiB*", AtLeast: 100, OrMetric: "disk_share", OrAtLeast: 0.8},
			80, Holds},
		{Bar{Metric: "rate", Cell: "1 MiB*", AtLeast: 100, OrMetric: "disk_share", OrAtLeast: 0.95},
			80, Fails},
		{Bar{Metric: "rate", Cell: "1 MiB*", AgainstSystem: "postfix", AtLeast: 1}, 0, Absent},
		{Bar{Metric: "rate", Cell: "2 MiB*", AtLeast: 1}, 0, Absent},
		{Bar{Metric: "drain_rate", Cell: "4 KiB*", AtLeast: 1}, 0, Absent},
	} {
		got := c.bar.Judge(s)
		if len(got) != 1 || got[0].Value != c.value || got[0].Verdict != c.verdict {
			t.Errorf("%+v: %+v", c.bar, got)
		}
	}
	if got := (&Bar{Metric: "rate", AtLeast: 1}).Judge(s); len(got) != 2 {
		t.Errorf("a bar without a cell is asked of every cell: %+v", got)
	}
	for why, b := range map[string]Bar{
		"a bar needs a text":                     {Metric: "rate", AtLeast: 1},
		`there is no metric "speed"`:             {Text: "x", Metric: "speed", AtLeast: 1},
		"a bar needs either at_least or at_most": {Text: "x", Metric: "rate"},
		`there is no metric "nothing"`: {Text: "x", Metric: "rate", AtMost: 1,
			OrMetric: "nothing"},
	} {
		if got := b.Check(); got != why {
			t.Errorf("%+v: %q, want %q", b, got, why)
		}
	}
}

// TestFaults: one lost message is in each form of the report, and the report is not sound.
func TestFaults(t *testing.T) {
	r := sample()
	if !r.Sound() {
		t.Error(r.Faults())
	}
	r.Scenarios[0].Cells[0].Results[0].Faults = []string{"1 recipient lost"}
	if r.Sound() {
		t.Error("a report with a loss is sound")
	}
	for name, write := range map[string]func(io.Writer) error{
		"JSON": r.WriteJSON, "Markdown": r.WriteMarkdown, "HTML": r.WriteHTML,
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "1 recipient lost") {
			t.Errorf("%s does not tell of the loss", name)
		}
	}
}

func TestForms(t *testing.T) {
	r := sample()
	r.Scenarios[0].Bars = (&Bar{Text: "ten times", Metric: "rate", Cell: "4 KiB*",
		AgainstSystem: "postfix", AtLeast: 10}).Judge(r.Scenarios[0])
	var md, js, page bytes.Buffer
	for _, err := range []error{r.WriteMarkdown(&md), r.WriteJSON(&js), r.WriteHTML(&page)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"| Relay <plain> | ten times | 4 KiB, 20 connections | 10.00 " +
		"(10.00 to 15.00) times; asked: at least 10 | holds |",
		"| 4 KiB, 20 connections | Postroad | 5,000 (4,000 to 6,000) | 110 (100 to 120) |",
		"| 4 KiB, 20 connections | Postfix | 400 (400 to 500) |",
		" rate, messages/s | CPU, µs of CPU/message |", "the median, and in brackets the lowest",
		"no figures: it is not installed", "1 of 1 bars hold"} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, md.String())
		}
	}
	back, err := ReadJSON(&js)
	if err != nil || back.Scenarios[0].Cells[0].Results[0].Values["rate"][1] != 6000 {
		t.Errorf("%+v, %v", back, err)
	}
	text := page.String()
	for _, want := range []string{"Relay &lt;plain&gt;", "<svg", "a node is killed",
		"5,000 (4,000 to 6,000)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, outside := range []string{"http://", "https://", "<script", "src=", "@import", "url("} {
		if strings.Contains(text, outside) {
			t.Errorf("the page has %q: it must need nothing else", outside)
		}
	}
	checkPlots(t, text)
}

// checkPlots checks that each plot is well formed.
func checkPlots(t *testing.T, text string) {
	t.Helper()
	for rest := text; ; {
		_, after, ok := strings.Cut(rest, "<svg")
		if !ok {
			return
		}
		plot, after, _ := strings.Cut(after, "</svg>")
		d := xml.NewDecoder(strings.NewReader("<svg" + plot + "</svg>"))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in <svg%s", err, plot)
			}
		}
		rest = after
	}
}

// TestShortIsNotJudged: the short form says that it is short, and neither compares its figures nor
// says which are better.
func TestShortIsNotJudged(t *testing.T) {
	r := sample()
	for _, short := range []bool{false, true} {
		r.Short = short
		r.Scenarios[0].LeftOut = []string{"1 MiB, 20 connections: Exim"}
		var md, page bytes.Buffer
		if err := r.WriteMarkdown(&md); err != nil {
			t.Fatal(err)
		}
		if err := r.WriteHTML(&page); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{md.String(), page.String()} {
			if strings.Contains(text, "This is the short form") != short {
				t.Errorf("short %v:\n%s", short, text)
			}
			if !strings.Contains(text, "Left to the long form: 1 MiB, 20 connections: Exim.") {
				t.Error("it does not say what is left out")
			}
		}
		if strings.Contains(page.String(), "is better") == short {
			t.Errorf("short %v: the page says what is better, or does not", short)
		}
	}
}

// TestRepeatedFigureShowsItsSpread: be it nothing, it is known; of one round it is not.
func TestRepeatedFigureShowsItsSpread(t *testing.T) {
	m, _ := MetricOf("memory")
	for want, values := range map[string][]float64{
		"57": {57 << 20}, "57 (57 to 57)": {57 << 20, 57 << 20},
	} {
		if s, _ := SpreadOf(values); m.FormatSpread(s) != want {
			t.Errorf("%v: %q, want %q", values, m.FormatSpread(s), want)
		}
	}
}

// TestOneNameEach: a system has one name wherever people read it, and the product has its own.
func TestOneNameEach(t *testing.T) {
	r := sample()
	r.Scenarios[0].Cells[0].Results[0].Faults = []string{"1 recipient lost"}
	var md, page bytes.Buffer
	if err := r.WriteMarkdown(&md); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{md.String(), page.String(), strings.Join(r.Faults(), "")} {
		for _, other := range []string{"| node ", ">node<", " node:", ">postfix<", "| postfix "} {
			if strings.Contains(text, other) {
				t.Errorf("%q is in\n%s", other, text)
			}
		}
		if !strings.Contains(text, "Postroad") {
			t.Errorf("nothing is called Postroad in\n%s", text)
		}
	}
}
