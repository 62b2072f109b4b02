package load

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Counts are totals since the start of a load.
type Counts struct {
	Begun int64 `json:"begun"` // messages handed to a connection
	// messages of an open loop that were due and not begun; they are in no latency
	Overdue        int64 `json:"overdue"`
	Accepted       int64 `json:"accepted"`         // messages with at least one accepted recipient
	RefusedForNow  int64 `json:"refused_for_now"`  // messages
	RefusedForGood int64 `json:"refused_for_good"` // messages
	Lost           int64 `json:"lost"`             // messages
	Unknown        int64 `json:"unknown"`          // messages
	Retries        int64 `json:"retries"`          // further attempts

	RecipientsAccepted int64 `json:"recipients_accepted"`
	RecipientsRefused  int64 `json:"recipients_refused"`
	Octets             int64 `json:"octets"` // of accepted contents, before dot-stuffing

	Connections int64 `json:"connections"` // opened: the greeting was read
	// not opened, or refused before the first message
	ConnectionsFailed int64 `json:"connections_failed"`
	ConnectionsCut    int64 `json:"connections_cut"` // ended otherwise than by our QUIT
}

// Progress is how a load stands.
type Progress struct {
	Counts
	Elapsed time.Duration
	Open    int   // connections
	Due     int64 // messages; more than Begun when an open loop is behind
	// Latency is that of whole messages since the last call of Progress.
	Latency Latency
}

// Result is what a load has come to. It is meant for JSON.
type Result struct {
	Target  string    `json:"target"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"` // from the start to the last reply
	Rate    float64   `json:"rate"`    // accepted messages a second
	// processor time of this process per accepted message, microseconds
	CPU        float64 `json:"cpu_us"`
	Pipelining string  `json:"pipelining"`
	Chunking   bool    `json:"chunking"`
	Counts
	Refusals []Refusal `json:"refusals,omitempty"` // the most frequent first
	// of connections, likewise; Code is 0 where it was no reply
	Failures []Refusal `json:"failures,omitempty"`

	// Phases has latencies by phase:
	//	connect  from the beginning of the connection to TCP's answer
	//	banner   from there to the session being ready: greeting, EHLO, TLS, AUTH
	//	wait     from when the message was due to its MAIL (with a rate; 0 in a closed loop)
	//	envelope from MAIL to the reply to DATA; with BDAT to the last reply before the data's
	//	data     from the end of the data to its reply
	//	whole    from when the message was due to that reply
	Phases map[string]Latency `json:"phases"`
	// Timeline has accepted messages for each second from the start, at most 86,400.
	Timeline []int64 `json:"timeline"`
}

// Refusal counts alike replies.
type Refusal struct {
	At    string `json:"at"` // connect, banner, ehlo, starttls, auth, mail, rcpt, data, end
	Code  int    `json:"code"`
	Text  string `json:"text"` // the first words; digits are replaced by "#"
	Count int64  `json:"count"`
}

// Latency sums up a histogram. Times are microseconds. As JSON it has the histogram, too, in hdr:
// HdrHistogram V2, compressed, base64, which hdr-plot and HistogramLogAnalyzer read; unit 1 us.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_us"`
	P50   int64   `json:"p50_us"`
	P90   int64   `json:"p90_us"`
	P99   int64   `json:"p99_us"`
	P999  int64   `json:"p999_us"`
	Max   int64   `json:"max_us"`

	h *hdr.Histogram
}

func (c *Counts) add(from *Counts) {
	c.Accepted += from.Accepted
	c.RefusedForNow += from.RefusedForNow
	c.RefusedForGood += from.RefusedForGood
	c.Lost += from.Lost
	c.Unknown += from.Unknown
	c.Retries += from.Retries
	c.RecipientsAccepted += from.RecipientsAccepted
	c.RecipientsRefused += from.RecipientsRefused
	c.Octets += from.Octets
	c.Connections += from.Connections
	c.ConnectionsFailed += from.ConnectionsFailed
	c.ConnectionsCut += from.ConnectionsCut
}

// Progress returns how the load stands. One goroutine at a time may follow it.
func (l *Load) Progress() Progress {
	now := l.now()
	p := Progress{Elapsed: time.Duration(now)}
	recent := newHistogram()
	for _, mt := range l.meters {
		mt.mu.Lock()
		p.Counts.add(&mt.mu.counts)
		p.Open += mt.mu.open
		recent.Merge(mt.mu.recent)
		mt.mu.recent.Reset()
		mt.mu.Unlock()
	}
	p.Begun, p.Due = l.schedule.counts(now)
	p.Overdue = p.Due - p.Begun
	p.Latency = LatencyOf(recent)
	return p
}

// sumUp makes the result, when all has ended.
func (l *Load) sumUp(cpu time.Duration) *Result {
	r := &Result{Target: l.o.Addr, Started: l.started, Phases: map[string]Latency{}}
	var all [phases]*hdr.Histogram
	for i := range all {
		all[i] = newHistogram()
	}
	refusals, failures := tally{}, tally{}
	offered := offers{}
	last := int64(0)
	for _, mt := range l.meters {
		mt.mu.Lock()
		r.Counts.add(&mt.mu.counts)
		for i, h := range mt.mu.phases {
			all[i].Merge(h)
		}
		refusals.merge(mt.mu.refusals)
		failures.merge(mt.mu.failures)
		for i, n := range mt.mu.timeline {
			for len(r.Timeline) <= i {
				r.Timeline = append(r.Timeline, 0)
			}
			r.Timeline[i] += n
		}
		if mt.mu.counts.Connections > 0 {
			offered = mt.mu.offers
		}
		last = max(last, mt.mu.last)
		mt.mu.Unlock()
	}
	begun, due := l.schedule.counts(last)
	r.Begun, r.Overdue = begun, due-begun
	r.Refusals, r.Failures = refusals.list(), failures.list()
	r.Seconds = float64(last) / 1e9
	if r.Accepted > 0 {
		r.Rate = float64(r.Accepted) / r.Seconds
		r.CPU = float64(cpu.Microseconds()) / float64(r.Accepted)
	}
	session := session{p: &l.protocol, offers: offered}
	r.Pipelining, r.Chunking = session.pipelining().String(), session.bdat()
	for i, h := range all {
		r.Phases[phaseNames[i]] = LatencyOf(h)
	}
	return r
}
