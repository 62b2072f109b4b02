package queue

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

func TestEnvelopeOfManyDomains(t *testing.T) {
	e := envelope("s@x.example")
	for i := range 200 {
		domain := fmt.Sprintf("d%d.example", i%60)
		e.Recipients = append(
			e.Recipients,
			mail.Recipient{Address: fmt.Sprintf("r%d@%s", i, domain), Domain: domain},
		)
	}
	var w machine.EnvelopeWriter
	for range 2 { // its memory is used again
		stored := w.Encode(e)
		got, err := machine.DecodeEnvelope(stored)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%v: %+v", err, got)
		}
		var v machine.EnvelopeView
		if err := v.Decode(stored); err != nil || len(v.Domains) != 60 {
			t.Fatalf("%d domains, %v", len(v.Domains), err)
		}
	}
}

// A message to many is settled in pieces, and its schedule rows shrink with it.
func TestManyRecipients(t *testing.T) {
	b := newBed(t, Options{}).start()
	var to []string
	for i := range 500 {
		to = append(to, fmt.Sprintf("r%d@d%d.example", i, i%50))
	}
	id := b.accept("s@x.example", to...)
	if n := len(b.rowsOf(machine.KeySchedule)); n != 50 || len(b.h.items) != 50 {
		t.Fatalf("%d schedule rows, %d items", n, len(b.h.items))
	}
	for from := 0; from < 500; from += 100 {
		var outcomes []Outcome
		for n := from; n < from+100; n++ {
			outcomes = append(
				outcomes,
				Outcome{
					ID:        id,
					Recipient: uint32(n),
					State:     Relayed,
					Attempt:   mail.Attempt{At: b.c.Now()},
				},
			)
		}
		items, _, err := b.q.Due("d7.example", Cursor{}, b.c.Now().Add(time.Second), 10)
		if err != nil || len(items) != 1 || len(items[0].Recipients) != (500-from)/50 {
			t.Fatalf("%+v, %v", items, err)
		}
		b.settle(outcomes...)
	}
	if n := len(b.rowsOf(machine.KeySchedule)) + len(b.rowsOf(machine.KeyMessage)); n != 0 {
		t.Fatalf("%d rows are left", n)
	}
}
