package run

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/postroad/postroad/bench/load"
	"github.com/postroad/postroad/bench/record"
)

// sending is a load on all nodes of a system and what became of it.
type sending struct {
	log        *record.SentLog
	begun      time.Time
	accepted   int64 // messages
	recipients int64 // accepted
	refused    int64 // messages, lost ones too
	seconds    float64
	// of the 250 after the end of the data, milliseconds; of several nodes the slowest's
	p50, p99 float64
	why      string // the most frequent refusal
}

// send has our generator send count messages, or for a time when count is 0, and waits for the last
// reply. Each node gets its part.
func (st *stage) send(
	ctx context.Context, count int64, last time.Duration, change func(node int, o *load.Options),
) (*sending, error) {
	s := &sending{log: record.NewSentLog(), begun: time.Now()}
	addrs := st.system.addrs()
	if st.Auth {
		addrs = st.system.(*nodes).submission()
	}
	var loads group
	results := make([]*load.Result, len(addrs))
	for i, addr := range addrs {
		o := st.options(addr, share(count, len(addrs), i), last)
		o.Connections = int(max(share(int64(st.connections), len(addrs), i), 1))
		o.OnSent = s.note
		o.Rate = st.Rate / float64(len(addrs))
		if change != nil {
			change(i, &o)
		}
		if count > 0 && o.Messages == 0 {
			continue
		}
		loads.start(func() (err error) {
			results[i], err = runLoad(ctx, o)
			return err
		})
	}
	err := loads.wait()
	for _, r := range results {
		if r != nil {
			s.add(r)
		}
	}
	if n := s.log.Missed(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d messages were too many for the record", n))
	}
	return s, errors.Join(err, ctx.Err())
}

func runLoad(ctx context.Context, o load.Options) (*load.Result, error) {
	l, err := load.Start(o)
	if err != nil {
		return nil, err
	}
	return l.Wait(ctx)
}

// options are the load for one node.
func (st *stage) options(addr string, count int64, last time.Duration) load.Options {
	// within the bounds that the scenario's check keeps
	sizes, _ := load.ParseSizes(strconv.Itoa(st.size))
	o := load.Options{
		Addr: addr, Messages: count, For: last, Loops: 1, Hash: true,
		Pipelining: map[string]load.Pipelining{"off": load.PipelineOff,
			"message": load.PipelineMessage, "stream": load.PipelineStream}[st.Pipelining],
		Envelope: load.Envelope{Recipients: st.Recipients, Sender: "sender@" + senderName},
		Content:  load.Content{Sizes: sizes},
	}
	if len(st.domains) > 0 {
		o.Envelope.Domains = load.NewDomains(st.domains...)
	}
	if st.TLS {
		o.TLS, o.TLSConfig = load.TLSStart, &tls.Config{InsecureSkipVerify: true}
	}
	if st.Auth {
		o.Username, o.Password = user, password
	}
	return o
}

// share is part i of n divided by parts.
func share(n int64, parts, i int) int64 {
	part := n / int64(parts)
	if int64(i) < n%int64(parts) {
		part++
	}
	return part
}

// note writes one message down. It is called on the generator's event loops.
func (s *sending) note(m *load.Sent) {
	var e record.Sent
	m.Record(&e)
	e.Begun = m.Begun // not when it was due
	_ = s.log.Add(&e) // Missed counts
}

func (s *sending) add(r *load.Result) {
	s.accepted += r.Accepted
	s.recipients += r.RecipientsAccepted
	s.refused += r.RefusedForNow + r.RefusedForGood + r.Lost + r.Unknown
	s.seconds = max(s.seconds, r.Seconds)
	data := r.Phases["data"]
	s.p50, s.p99 = max(s.p50, float64(data.P50)/1000), max(s.p99, float64(data.P99)/1000)
	for _, list := range [][]load.Refusal{r.Refusals, r.Failures} {
		if len(list) > 0 && s.why == "" {
			s.why = fmt.Sprintf("at %s: %d %s", list[0].At, list[0].Code, list[0].Text)
		}
	}
}

// group runs functions side by side and keeps their errors.
type group struct {
	sync.WaitGroup
	mu   sync.Mutex
	errs error
}

func (g *group) start(f func() error) {
	g.Go(func() {
		if err := f(); err != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.errs = errors.Join(g.errs, err)
		}
	})
}

func (g *group) wait() error {
	g.Wait()
	return g.errs
}
