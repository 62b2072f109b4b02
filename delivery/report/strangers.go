package report

import (
	"strings"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/machine"
)

// A client that forges a sender can have us write to that sender. A failure has to be reported (RFC
// 5321 4.2.5), with the header only (RFC 3461 4.3 lets us choose); that mail arrived is reported as
// a favour, so many times.
const (
	maxFavours       = 100 // success reports to one domain in an hour that strangers asked for
	maxFavourDomains = 10_000
)

var failFavours = smtp.Perm(550, "5.7.1",
	"too many reports of success were asked for by strangers in this domain's name")

// favours counts the success reports that strangers have had in this hour.
type favours struct {
	hour time.Time
	by   map[string]int // domain of the sender
}

func (r *Reporter) stranger(env *mail.Envelope) bool {
	return r.o.Known != nil && !r.o.Known(&env.Origin)
}

// returns is how much of a message its report returns.
func (r *Reporter) returns(env *mail.Envelope) mail.Ret {
	if r.stranger(env) {
		return mail.RetHeaders
	}
	return env.Ret
}

// tooManyFavours counts a report, and returns why it is not made, if so.
func (r *Reporter) tooManyFavours(due *queue.Report) *smtp.Failure {
	env := due.Message.Envelope
	if due.ID.Kind != machine.ReportSuccess || !r.stranger(env) {
		return nil
	}
	f := &r.favours
	if hour := r.o.Now().Truncate(time.Hour); !hour.Equal(f.hour) {
		*f = favours{hour, map[string]int{}}
	}
	domain := strings.ToLower(mail.DomainOf(env.Sender))
	n, known := f.by[domain]
	if n >= maxFavours || !known && len(f.by) >= maxFavourDomains {
		return failFavours
	}
	f.by[domain]++
	return nil
}
