package local

import (
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// TestWarns: the user whose mailbox came over its soft quota is told, once, and nobody else.
func TestWarns(t *testing.T) {
	play(t, "a@h.example b@h.example", "", func(w *world) {
		w.warn["b@h.example"] = true
		for range 3 { // the shard warns with the append that is not repeated
			w.delivers(1, "a@h.example b@h.example", "ok ok")
		}
		if len(w.warnings) != 1 {
			t.Fatalf("%d warnings, want 1", len(w.warnings))
		}
		to := w.warnings[0].Recipients
		if len(to) != 1 || to[0].Address != "b@h.example" || to[0].Domain != "h.example" ||
			to[0].Notify != mail.NotifyNever || w.warnings[0].Sender != "" {
			t.Errorf("the warning goes to %+v", w.warnings[0])
		}
		m, err := netmail.ReadMessage(strings.NewReader(w.texts[0]))
		if err != nil || m.Header.Get("To") != "<b@h.example>" ||
			m.Header.Get("Auto-Submitted") != "auto-generated" ||
			!strings.Contains(w.texts[0],
				"holds more than 5MiB. At 6MiB no more mail will come in.") {
			t.Errorf("%v: %s", err, w.texts[0])
		}
		if _, err := m.Header.Date(); err != nil {
			t.Error(err)
		}
	})
}

// TestWarningsThatDoNotGo: a warning that the queue does not take is said in the log; where there
// is no user any more there is nobody to warn. Addresses need not be ASCII.
func TestWarningsThatDoNotGo(t *testing.T) {
	play(t, "a@h.example jürgen@h.example", "", func(w *world) {
		w.warn["a@h.example"], w.warn["jürgen@h.example"] = true, true
		w.refuse = smtp.Temp(smtp.LocalError, "4.3.2", "no room")
		w.delivers(1, "a@h.example", "ok")
		if len(w.log) != 1 || !strings.Contains(w.log[0], "a@h.example is over its soft quota") {
			t.Errorf("the log says %q", w.log)
		}
		w.refuse = nil
		w.delivers(2, "jürgen@h.example", "ok")
		if len(w.warnings) != 2 || !w.warnings[1].SMTPUTF8 || w.warnings[0].SMTPUTF8 {
			t.Errorf("warnings: %+v", w.warnings)
		}
		w.users["a@h.example"] = false
		w.delivers(3, "a@h.example", "ok")
		if len(w.warnings) != 2 || len(w.log) != 1 {
			t.Errorf("%d warnings, log %q", len(w.warnings), w.log)
		}
	})
}
