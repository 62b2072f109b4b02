package kit

import (
	"slices"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
)

// Finish ends the load, waits for what is still to come, and judges the run.
func (r *Run) Finish(patience time.Duration) (*faults.Verdict, *faults.History) {
	r.T.Helper()
	r.Load.Stop()
	tries := r.Load.Wait()
	var verbs []faults.Verb
	if r.Operators != nil {
		var more []faults.Try
		more, verbs = r.Operators.Stop(r.Ctx)
		tries = slices.Concat(tries, more)
	}
	r.World.Settle(r.Ctx, faults.Awaited(tries, verbs), patience)
	h, v := r.judge(tries, verbs)
	if v.Untrue.N > 0 { // a report that an operator has caused may be on its way still
		<-time.After(reportPatience)
		h, v = r.judge(tries, verbs)
	}
	r.T.Logf("verdict:\n%v%v%v", v, v.Faults(h), r.Driver.Summary(v))
	told := time.Time{}
	for _, f := range v.Unexcused.First {
		first, last := f.Copies[0].Accepted, f.Copies[len(f.Copies)-1].Accepted
		if first.Sub(told).Abs() > time.Minute {
			r.T.Logf("what nodes wrote around %v:\n%s", f, r.Around(first, last))
			told = first
		}
	}
	if f := r.Load.Failures(); f != "" {
		r.T.Logf("what clients met, and how often:\n%s", f)
	}
	return v, h
}

// reportPatience is how long a report may take to be made and to arrive.
const reportPatience = 10 * time.Second

func (r *Run) judge(tries []faults.Try, verbs []faults.Verb) (*faults.History, *faults.Verdict) {
	r.T.Helper()
	h, err := faults.Collect(r.Ctx, r.Cluster, r.World, tries, r.Driver.Faults(), verbs...)
	if err != nil {
		r.T.Errorf("gathering what is known of the run: %v", err)
	}
	h.Named = r.Driver.Named()
	return h, faults.Check(h, faults.Rules{})
}

// MustBeClean fails the test when the verdict has findings, or mail is left.
func (r *Run) MustBeClean() {
	r.T.Helper()
	if v, _ := r.Finish(time.Minute); !v.OK() || v.Waiting > 0 {
		r.T.Error("the verdict above must have no findings, and nothing may wait")
	}
}

// Verdict ends loads and judges all that they did. The drop says which recipients are none of the
// verdict's business.
func (r *Run) Verdict(
	loads []*faults.Load, drop func(recipient string) bool, more ...faults.Fault,
) *faults.Verdict {
	r.T.Helper()
	var tries []faults.Try
	for _, l := range loads {
		l.Stop()
		tries = append(tries, l.Wait()...)
	}
	for i := range tries {
		tries[i].Accepted = slices.DeleteFunc(slices.Clone(tries[i].Accepted), drop)
	}
	r.World.Settle(r.Ctx, tries, time.Minute)
	h, err := faults.Collect(r.Ctx, r.Cluster, r.World, tries, append(r.Driver.Faults(), more...))
	if err != nil {
		r.T.Errorf("gathering what is known of the run: %v", err)
	}
	v := faults.Check(h, faults.Rules{})
	r.T.Logf("verdict:\n%v%v", v, v.Faults(h))
	if !v.OK() || v.Waiting > 0 {
		r.T.Error("the verdict above must have no findings, and nothing may wait")
	}
	return v
}
