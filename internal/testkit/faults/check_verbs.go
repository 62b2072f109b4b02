package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// This file holds what operators were told against what arrived when. What is promised
// (docs/states.md, docs/cluster.md):
//
//   - hold, fail and remove that ended with 0 have come to an end with what they count as moved:
//     nothing of it is delivered from their begin on, until a release begins. Of what they count as
//     in flight no attempt begins after their end.
//   - They, release, show and trace find what is there: what was acknowledged before they began and
//     had not arrived, nor been taken out, when they ended.
//   - count and list find at least that, and not more than was sent; list has nothing that was
//     removed before.
//   - fail is reported to the sender.
//   - Nothing that is suspended is begun between the end of suspend and the begin of resume.
//
// A copy that SMTP cannot rule out is excused as a further copy is: the end of the data was on its
// way when its sender's ownership ended by a fault. A verb with another exit status than 0 promises
// nothing, and may have been done. What a majority has forgotten is counted apart
// (check_forgot.go).

// fate is a message of the operators, with all that was done to it and all that arrived of it.
type fate struct {
	t        *Try
	to       string // its only recipient
	domain   string
	copies   []*mailtest.Delivery
	verbs    []*Verb // in the order of time
	gone     time.Time
	reported bool
}

// mayBeGone reports whether it may have been taken out before a time.
func (f *fate) mayBeGone(by time.Time) bool { return !f.gone.IsZero() && f.gone.Before(by) }

// there reports whether it surely was in a queue all the time that a verb took.
func (f *fate) there(v *Verb) bool {
	if len(f.t.Accepted) == 0 || !f.t.At.Before(v.From) || f.mayBeGone(v.Until) {
		return false
	}
	return !slices.ContainsFunc(
		f.copies,
		func(d *mailtest.Delivery) bool { return !d.Accepted.After(v.Until) },
	)
}

// operators prepares what is known of the operators' messages.
func (c *checker) operators() {
	if len(c.h.Verbs) == 0 {
		return
	}
	byTry, byID, byName := map[string]*fate{}, map[string]*fate{}, map[string]*fate{}
	for i := range c.h.Tries {
		t := &c.h.Tries[i]
		all := slices.Concat(t.Accepted, t.Unknown, t.PutOff)
		if len(all) != 1 || !ours(all[0]) {
			continue
		}
		f := &fate{t: t, to: all[0]}
		name := ""
		name, f.domain, _ = strings.Cut(f.to, "@")
		c.fates = append(c.fates, f)
		byTry[t.ID] = f
		if len(t.Accepted) > 0 {
			byID[t.QueueID], byName[name] = f, f
		}
	}
	for i := range c.h.Verbs {
		v := &c.h.Verbs[i]
		if f := byID[v.ID]; f != nil {
			f.verbs = append(f.verbs, v)
		}
		if v.ID != "" || v.Verb != "release" {
			continue
		}
		for _, f := range c.fates {
			if f.domain == v.Domain {
				f.verbs = append(f.verbs, v)
			}
		}
	}
	for i := range c.h.Deliveries {
		d := &c.h.Deliveries[i]
		if f := byTry[d.ID]; f != nil && d.Sender != "" {
			f.copies = append(f.copies, d)
		}
		for _, r := range d.Recipients {
			name, _, _ := strings.Cut(r, "@")
			if f := byName[name]; f != nil && d.Sender == "" {
				f.reported = true
			}
		}
	}
	for _, f := range c.fates {
		slices.SortStableFunc(f.verbs, func(a, b *Verb) int { return a.From.Compare(b.From) })
		for _, v := range f.verbs {
			if (v.Verb == "remove" || v.Verb == "fail") && f.gone.IsZero() &&
				(v.Exit != 0 || v.Done+v.InFlight > 0) {
				f.gone = v.From
			}
		}
		c.taken[f.t.QueueID] = !f.gone.IsZero()
		if slices.ContainsFunc(f.verbs, func(v *Verb) bool { return v.Verb == "fail" }) {
			c.failed[reverse(f)] = true
		}
	}
}

// reverse is to whom a report on a message goes.
func reverse(f *fate) string {
	name, _, _ := strings.Cut(f.to, "@")
	return name + "@" + senders
}

// untrue notes that what a verb was told is not so.
func (c *checker) untrue(v *Verb, f *fate, format string, args ...any) {
	found := Finding{Told: v.String(), Why: fmt.Sprintf(format, args...)}
	if f != nil {
		found.ID, found.Recipient, found.QueueID = f.t.ID, f.to, f.t.QueueID
		for _, d := range f.copies {
			found.Copies = append(found.Copies, Copy{numberOf(d.Remote.Addr()), d.Accepted})
		}
		for _, other := range f.verbs {
			if other != v {
				found.Why += "\n      " + other.String()
			}
		}
	}
	c.v.Untrue.add(found)
}

// told judges all verbs.
func (c *checker) told() {
	for i := range c.h.Verbs {
		v := &c.h.Verbs[i]
		c.v.Verbs++
		switch {
		case !v.known():
			c.untrue(v, nil, "no such exit status is expected")
		case !v.sure():
			c.v.Unsure++
		case v.Verb == "suspend":
			c.suspended(v)
		case v.Verb == "count" || v.Verb == "list":
			c.counted(v)
		}
	}
	for _, f := range c.fates {
		c.handled(f)
	}
}

// handled judges what was done to one message.
func (c *checker) handled(f *fate) {
	var held *Verb // surely
	for i, v := range f.verbs {
		there := f.there(v)
		if v.ID == "" { // all of a domain: it only ends what was held
			held = nil
			continue
		}
		if v.Exit == 65 && there {
			c.absent(v, f, "it was there")
		}
		if v.Verb == "release" && !v.sure() || !f.gone.IsZero() && f.gone.Before(v.From) {
			held = nil
		}
		if !v.sure() {
			continue
		}
		nothing := v.Done+v.InFlight == 0
		switch v.Verb {
		case "trace":
			if nothing && there {
				c.absent(v, f, "it was there")
			}
		case "hold":
			if nothing && there && !c.heldBefore(f.verbs[:i], v.Until) {
				c.absent(v, f, "it was there to be held")
			}
			c.stopped(f, v, released(f.verbs[i+1:]))
			if v.Done > 0 {
				held = v
			}
		case "release":
			if nothing && held != nil && there && !c.forgotten(f, v.Until) {
				c.undone(v, f, held, v.Until, "it was held")
			}
			held = nil
		case "remove", "fail":
			if nothing && there {
				c.absent(v, f, "it was there")
			}
			c.stopped(f, v, time.Time{})
			if v.Verb == "fail" && !nothing && !f.reported {
				c.undone(v, f, v, ever, "nobody was told of the failure")
			}
		}
	}
}

// heldBefore reports whether some verb may have held a message, and none surely released it for
// good.
func (c *checker) heldBefore(verbs []*Verb, by time.Time) (held bool) {
	for _, v := range verbs {
		switch v.Verb {
		case "hold":
			held = held || v.Exit != 0 || v.Done+v.InFlight > 0
		case "release":
			held = held && (v.Exit != 0 || c.undid(v, by))
		}
	}
	return held
}

// released is when a message may have been released for the first time; zero: never.
func released(verbs []*Verb) time.Time {
	for _, v := range verbs {
		if v.Verb == "release" {
			return v.From
		}
	}
	return time.Time{}
}

// stopped finds what was delivered though a verb had stopped it, until it was let go.
func (c *checker) stopped(f *fate, v *Verb, until time.Time) {
	for _, d := range f.copies {
		if !until.IsZero() && !d.Accepted.Before(until) {
			continue
		}
		begun := d.Started.After(v.Until.Add(c.rules.Seen))
		switch {
		case v.Done > 0 && d.Accepted.After(v.From), v.InFlight > 0 && begun:
		default:
			continue
		}
		node := numberOf(d.Remote.Addr())
		if !begun &&
			slices.ContainsFunc(
				c.h.Faults,
				func(x Fault) bool { return c.rules.excuses(&x, node, d.Accepted) },
			) {
			c.v.UnderWay++
			continue
		}
		c.undone(v, f, v, d.Accepted, "n%d began its delivery at %s, and it arrived at %s", node,
			d.Started.Format("15:04:05.000"), d.Accepted.Format("15:04:05.000"))
	}
}

// suspended finds what was begun in spite of a suspension.
func (c *checker) suspended(v *Verb) {
	var until time.Time
	for i := range c.h.Verbs {
		if o := &c.h.Verbs[i]; o.Verb == "resume" && o.Domain == v.Domain &&
			o.From.After(v.Until) &&
			(until.IsZero() || o.From.Before(until)) {
			until = o.From
		}
	}
	for _, f := range c.fates {
		for _, d := range f.copies {
			if f.domain == v.Domain && d.Started.After(v.Until.Add(c.rules.Seen)) &&
				(until.IsZero() || d.Started.Before(until)) {
				c.undone(v, f, v, d.Started, "n%d began its delivery at %s",
					numberOf(d.Remote.Addr()), d.Started.Format("15:04:05.000"))
			}
		}
	}
}

// counted judges a count or a list of a domain.
func (c *checker) counted(v *Verb) {
	listed := map[string]bool{}
	for _, id := range v.Listed {
		listed[id] = true
	}
	var least, most, forgotten int64
	for _, f := range c.fates {
		if f.domain != v.Domain {
			continue
		}
		there := f.there(v)
		if there {
			least++
			if c.forgotten(f, v.Until) {
				forgotten++
			}
		}
		if f.t.At.Add(-f.t.Took).Before(v.Until) {
			most++
		}
		if v.Verb != "list" || f.t.QueueID == "" {
			continue
		}
		if there && !listed[f.t.QueueID] {
			c.absent(v, f, "it was there, and is not listed")
		}
		if did := removedBefore(f, v); listed[f.t.QueueID] && did != nil {
			c.undone(v, f, did, v.Until, "it was removed, and is listed")
		}
	}
	switch {
	case v.Verb != "count" || v.Done >= least && v.Done <= most:
	case v.Done >= least-forgotten && v.Done <= most:
		c.v.OfForgotten++
	default:
		c.untrue(v, nil, "at least %d were there, and at most %d", least-forgotten, most)
	}
}

// removedBefore is the command that had removed a message before another began; nil: none.
func removedBefore(f *fate, v *Verb) *Verb {
	i := slices.IndexFunc(f.verbs, func(o *Verb) bool {
		return o.Verb == "remove" && o.Exit == 0 && o.Done > 0 && o.Until.Before(v.From)
	})
	if i < 0 {
		return nil
	}
	return f.verbs[i]
}

// Awaited are the tries of which something must arrive: not those that operators have, or may have,
// taken out.
func Awaited(tries []Try, verbs []Verb) []Try {
	out := map[string]bool{}
	for i := range verbs {
		if v := &verbs[i]; (v.Verb == "remove" || v.Verb == "fail") &&
			(v.Exit != 0 || v.Done+v.InFlight > 0) {
			out[v.ID] = true
		}
	}
	return slices.DeleteFunc(
		slices.Clone(tries),
		func(t Try) bool { return out[t.QueueID] && t.QueueID != "" },
	)
}
