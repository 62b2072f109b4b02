package intake

import (
	"fmt"
	"slices"
	"testing"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// envelopes is a queue that notes who is told of what.
type envelopes []string

func (q *envelopes) Submit(
	env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	content.Release()
	for _, r := range env.Recipients {
		*q = append(*q, fmt.Sprintf("%d <%s> %s %02x", len(*q), env.Sender, r.Address, r.Notify))
	}
	done(mail.ID{1}, nil)
}

// TestReceipts: a sender is told once of a list, or of an alias for several addresses (RFC 3461
// 5.2.7), and failures go on to be told of each address of an alias.
func TestReceipts(t *testing.T) {
	const (
		success, failure, never = mail.NotifySuccess, mail.NotifyFailure, mail.NotifyNever
		list, alias             = success | mail.PassedToList, success | mail.PassedOn
	)
	line := func(n int, from, to string, notify mail.Notify) string {
		return fmt.Sprintf("%d <%s> %s %02x", n, from, to, notify)
	}
	const s, chief = "s@away.example", "chief@here.example"
	book := newShelf()
	book.alias("one@here.example", "", "bob@here.example")
	book.alias("both@here.example", "", "team@here.example", "bob@here.example")
	for _, c := range []struct {
		to     string
		notify mail.Notify
		from   string
		want   []string
	}{
		{"sales@here.example", success | failure, s, []string{
			line(0, s, "alice@here.example", failure), line(1, s, "x@away.example", failure),
			line(2, s, "sales@here.example", alias)}},
		{"sales@here.example", success, s, []string{
			line(0, s, "alice@here.example", never), line(1, s, "x@away.example", never),
			line(2, s, "sales@here.example", alias)}},
		{"sales@here.example", failure, s, []string{
			line(0, s, "alice@here.example", failure), line(1, s, "x@away.example", failure)}},
		{"team@here.example", success, s, []string{line(0, s, "team@here.example", list),
			line(1, chief, "alice@here.example", 0), line(2, chief, "carol@away.example", 0)}},
		{"both@here.example", success, s, []string{line(0, s, "bob@here.example", never),
			line(1, s, "both@here.example", alias),
			line(2, chief, "alice@here.example", 0), line(3, chief, "carol@away.example", 0)}},
		// one address in the place of another: its report is the answer
		{"one@here.example", success, s, []string{line(0, s, "bob@here.example", success)}},
		{"carol@here.example", success, s, []string{line(0, s, "carol@away.example", success)}},
		// on a report nobody reports
		{"sales@here.example", success, "", []string{
			line(0, "", "alice@here.example", success), line(1, "", "x@away.example", success)}},
	} {
		var q envelopes
		x := &expander{next: &q, book: book, width: func() int { return 3 }, log: &spool{}}
		env := &mail.Envelope{Sender: c.from, Recipients: []mail.Recipient{
			{Address: c.to, Domain: "here.example", Notify: c.notify}}}
		x.Submit(env, &mail.Content{MessageID: "<m@x>"}, func(mail.ID, *smtp.Failure) {})
		slices.Sort(q) // copies are submitted side by side
		if got := []string(q); !slices.Equal(got, c.want) {
			t.Errorf("to %s, NOTIFY %02x:\n got %q\nwant %q", c.to, c.notify, got, c.want)
		}
	}
}
