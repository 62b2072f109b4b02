package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/queue/machine"
)

// PendingReports returns up to max due reports after the given one.
func (q *Queue) PendingReports(after ReportID, max int) (found []Report, err error) {
	r, err := q.read()
	if err != nil {
		return nil, err
	}
	var bad error
	from := append(machine.AppendReportKey(nil, after), 0)
	err = r.Scan(from, []byte{machine.KeyReport + 1}, func(k, v []byte) bool {
		if len(found) == max {
			return false
		}
		id, ok := machine.ParseReportKey(k)
		rs, err := machine.DecodeReportRow(v)
		if bad = err; !ok {
			bad = machine.ErrCorrupt
		}
		found = append(found, Report{ID: id, Recipients: rs})
		return bad == nil
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("list due reports: %w", err)
	}
	return q.withMessages(r, found)
}

// withMessages adds the messages; a report whose message is gone was answered since.
func (q *Queue) withMessages(r Reader, all []Report) ([]Report, error) {
	l, err := q.loader(r)
	if err != nil {
		return nil, fmt.Errorf("list due reports: %w", err)
	}
	kept := all[:0]
	for _, report := range all {
		ok, err := l.record(report.ID.ID)
		if err == nil && ok {
			report.Message, err = l.rec.Message(report.ID.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("read message %v: %w", report.ID.ID, err)
		}
		if ok {
			kept = append(kept, report)
		}
	}
	return kept, nil
}

// DropReports takes due reports out that cannot be made.
func (q *Queue) DropReports(ctx context.Context, ids ...ReportID) error {
	r := q.run.Load()
	if r == nil {
		return errNotOwner
	}
	ctx, cancel := r.during(ctx)
	defer cancel()
	_, err := r.propose(ctx,
		machine.AppendDrop(machine.AppendCommand(nil, machine.CmdDrop, r.commandTime(nil)), ids),
		nil)
	return err
}
