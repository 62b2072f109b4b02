package sink

import (
	"hash/fnv"
	"strings"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// decide is what the server does at a step. It runs on the event loops.
func (p *program) decide(s *mailtest.Step) mailtest.Action {
	r := p.find(s)
	if r == nil {
		return mailtest.Action{}
	}
	if reply := r.limited(s, p.now()); reply != "" {
		return mailtest.Action{Reply: fill(reply, s), Close: strings.HasPrefix(reply, "421")}
	}
	return r.act(s)
}

// limited returns the reply to a client that is over one of the rule's limits, or "".
func (r *rule) limited(s *mailtest.Step, now time.Time) string {
	client := s.Remote.Addr()
	switch s.At {
	case mailtest.AtConnect:
		if !r.open.enter(s.Session, client) {
			return r.ConnectionsReply
		}
	case mailtest.AtMail:
		if r.MessagesPerConnection > 0 && s.Nth >= r.MessagesPerConnection {
			return r.MessagesReply
		}
		if len(r.patterns) == 0 && !r.rate.take(client, now) {
			return r.RateReply
		}
	case mailtest.AtRcpt:
		if !r.grey.passes(client, s.Sender, s.Recipient, now) {
			return r.GreylistReply
		}
		if len(r.patterns) > 0 && !r.rate.take(client, now) {
			return r.RateReply
		}
	}
	return ""
}

// act draws, and does what the draw says. Who is always hit is hit first.
func (r *rule) act(s *mailtest.Step) mailtest.Action {
	events := r.steps[s.At]
	if len(events) == 0 {
		return mailtest.Action{}
	}
	if s.At == mailtest.AtRcpt {
		if e := hit(events, byAddress, mix(r.seed, hashOf(s.Recipient))); e != nil {
			return e.action(s)
		}
	}
	if e := hit(events, byChance, mix(r.seed+uint64(s.At), r.draws[s.At].Add(1))); e != nil {
		return e.action(s)
	}
	return mailtest.Action{}
}

// hit returns the event whose part of the whole a draw falls into, or nil.
func hit(events []event, by string, draw uint64) *event {
	for i := range events {
		if e := &events[i]; e.By == by && draw%wholeShare < e.bound {
			return e
		}
	}
	return nil
}

const byAddress = "address"

// hashOf is the same for an address in every run.
func hashOf(address string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(strings.ToLower(address)))
	return h.Sum64()
}

func (e *event) action(s *mailtest.Step) mailtest.Action {
	return mailtest.Action{
		Reply: fill(e.Reply, s), Delay: time.Duration(e.Delay), Drip: time.Duration(e.Drip),
		Cut: e.Cut, CutIn: int64(e.CutIn),
		// RFC 5321 3.8: it closes the connection
		Close: e.Close || strings.HasPrefix(e.Reply, "421"),
	}
}

// fill puts in what a reply says of the session.
func fill(reply string, s *mailtest.Step) string {
	if strings.IndexByte(reply, '{') >= 0 {
		reply = strings.NewReplacer("{client}", s.Remote.Addr().String(), "{recipient}",
			s.Recipient, "{sender}", s.Sender).Replace(reply)
	}
	return reply
}
