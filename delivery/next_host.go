package delivery

import (
	"slices"
	"strings"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
)

// Of several hosts each is to be tried in turn until one takes the message (RFC 5321 5.1). Those
// that cannot be connected to are passed over when a connection is opened (Scheduler.open). Here
// it is about a host that was reached, and put recipients off, or went away, before the content
// was sent: another host is asked within the same attempt. What peers say when they have enough of
// us is respected by all hosts, and the next attempt begins at another one. After the content
// nothing is asked of anybody else: it may have been taken.

// tryNextHosts asks other hosts, one after the other, for those recipients of a transaction that
// the one before has put off, and judges each result; false: nobody was asked.
func (s *Scheduler) tryNextHosts(
	cn *conn, t *transaction, r *smtpclient.Result, v *verdict,
) bool {
	if t.local || r.Retry || r.Aborted {
		return false
	}
	here := session{}
	asked := []string{cn.shell.host}
	for len(asked) < cn.set.Sessions && !s.abandoned.Load() {
		places := putOff(r, &here)
		if len(places) == 0 {
			break
		}
		client, host := s.nextHost(cn, asked)
		if client == nil {
			break
		}
		here.not = places
		s.judge(cn, t, r, here, v, s.o.Now())
		s.goOn(cn, client, host)
		asked = append(asked, host)
		result := client.Deliver(s.prepareSome(cn, t, places))
		cn.shell.ending.Store(false)
		r, here = &result, session{places: places}
	}
	if len(asked) == 1 {
		return false
	}
	s.judge(cn, t, r, here, v, s.o.Now())
	v.usable = false // what comes next begins at the first host again
	return true
}

// prepareSome makes the client's transaction for some of the recipients.
func (s *Scheduler) prepareSome(
	cn *conn, t *transaction, places []int,
) *smtpclient.Transaction {
	tx := cn.shell.tx
	tx.Recipients, tx.Results = make([]mail.Recipient, len(places)), tx.Results[:len(places)]
	for k, i := range places {
		tx.Recipients[k] = t.message.Envelope.Recipients[t.recipients[i]]
	}
	return &tx
}

// putOff returns the places of the recipients that another host may take.
func putOff(r *smtpclient.Result, of *session) (places []int) {
	taken := false
	for i := range r.Recipients {
		taken = taken || r.Recipients[i].OK()
	}
	for i := range r.Recipients {
		st := &r.Recipients[i]
		before := st.Command == smtpclient.StepMail || st.Command == smtpclient.StepRcpt
		if before && st.Temporary() && !st.Unknown && !throttles(st) && !(taken && tooMany(st)) {
			places = append(places, of.place(i))
		}
	}
	return places
}

// throttles reports whether a peer says that it has enough of us, or of everybody.
func throttles(st *smtpclient.Status) bool {
	return st.Code == 421 || strings.HasPrefix(st.Enhanced, "4.7.") || st.Enhanced == "4.3.2" ||
		st.Enhanced == "4.4.5"
}

// nextHost connects to another host than those that were asked; nil: none can be had.
func (s *Scheduler) nextHost(cn *conn, asked []string) (client Conn, host string) {
	for _, target := range cn.hosts.After(asked, cn.set.Addresses) {
		client, _, err := s.dialHost(cn, target)
		if err == nil {
			return client, target.Name
		}
		if cn.set.way.ctx.Err() != nil {
			break
		}
	}
	return nil, ""
}

// goOn puts another connection in the place of the one before, which was cut off if the scheduler
// has ended meanwhile.
func (s *Scheduler) goOn(cn *conn, client Conn, host string) {
	cn.shell.client.Quit()
	cn.shell.client, cn.shell.host = client, host
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.conns[cn] = client
	if s.mu.ended {
		client.Abort()
	}
}

// avoiding puts the addresses of a host last.
func avoiding(host string, targets []mx.Target) []mx.Target {
	last := func(t mx.Target) int {
		if t.Name == host {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(targets, func(a, b mx.Target) int { return last(a) - last(b) })
	return targets
}
