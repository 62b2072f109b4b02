package faults

import (
	"slices"
	"time"
)

// This file holds what operators were told against what a majority has forgotten: a message is not
// there, until it is salvaged by whoever named it, and what a verb did to one is undone.

// ever is later than all that a run sees.
var ever = time.Unix(1<<40, 0)

// absent notes that a verb did not find a message that was there, unless it was forgotten.
func (c *checker) absent(v *Verb, f *fate, format string, args ...any) {
	if c.forgotten(f, v.Until) {
		c.v.OfForgotten++
		return
	}
	c.untrue(v, f, format, args...)
}

// undone notes that something at a time shows that what a verb did does not hold, unless what it
// did was forgotten by then.
func (c *checker) undone(v *Verb, f *fate, did *Verb, seen time.Time, format string, args ...any) {
	if c.undid(did, seen) {
		c.v.OfForgotten++
		return
	}
	c.untrue(v, f, format, args...)
}

// forgotten reports whether a message may not have been there any more at a time: a node has named
// it after damage, or it was accepted when a majority forgot, and never came. In the second case it
// is also one of the lost.
func (c *checker) forgotten(f *fate, by time.Time) bool {
	named := c.h.Named[f.t.QueueID]
	lost := len(f.copies) == 0 && !slices.Contains(c.h.Held[f.t.QueueID], f.to)
	return slices.ContainsFunc(c.h.Faults, func(x Fault) bool {
		switch {
		case !x.From.Before(by):
			return false
		case named && x.Kind.damages() && f.t.At.Before(x.From.Add(c.rules.Lease+c.rules.Grace)):
			return true
		}
		return lost && x.forgot(f.t.At, c.rules) && !f.foundAfter(x.From)
	})
}

// foundAfter reports whether a verb that began after a time surely found the message to take it
// out.
func (f *fate) foundAfter(t time.Time) bool {
	return slices.ContainsFunc(f.verbs, func(v *Verb) bool {
		return (v.Verb == "remove" || v.Verb == "fail") && v.sure() && v.Done > 0 && v.From.After(t)
	})
}

// undid reports whether what a verb did may have been forgotten by a time.
func (c *checker) undid(v *Verb, by time.Time) bool {
	return slices.ContainsFunc(c.h.Faults, func(x Fault) bool {
		return x.From.Before(by) && (x.forgot(v.From, c.rules) || x.forgot(v.Until, c.rules))
	})
}
