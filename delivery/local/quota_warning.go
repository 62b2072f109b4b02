package local

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

// warnOverQuota tells a user that the mailbox is over its soft quota, by a message into it. It does
// not block. The shard asks for it once, and again only when the mailbox was below its quota
// meanwhile; a warning that is lost, as by a crash, is not repeated.
func (s *Store) warnOverQuota(address string) {
	set, ok := s.o.Settings(address)
	domain, err := smtp.Domain(mail.DomainOf(address))
	if !ok || err != nil {
		return
	}
	text := quotaWarning(address, s.o.Hostname, set, time.Now())
	to := mail.Recipient{Address: address, Domain: domain, Notify: mail.NotifyNever}
	env := &mail.Envelope{
		Recipients: []mail.Recipient{to},
		Origin:     mail.Origin{Protocol: "internal", Helo: s.o.Hostname},
	}
	if !smtp.IsASCII(address) {
		env.SMTPUTF8, env.Body = true, mail.Body8BitMIME
	}
	content := &mail.Content{Chunks: [][]byte{text}, Size: int64(len(text))}
	s.o.Submitter.Submit(env, content, func(_ mail.ID, f *smtp.Failure) {
		if f != nil {
			s.o.Logf("mailbox %s is over its soft quota, and could not be told: %v", address, f)
		}
	})
}

// quotaWarning is the message. Auto-Submitted keeps answering machines silent (RFC 3834 5).
func quotaWarning(address, host string, set mailbox.Settings, now time.Time) []byte {
	limit := "It has no hard limit."
	if set.Hard > 0 {
		limit = fmt.Sprintf("At %v no more mail will come in.", config.Size(set.Hard))
	}
	return fmt.Appendf(nil, "Date: %s\r\n"+
		"From: Mail Delivery System <MAILER-DAEMON@%s>\r\n"+
		"To: <%s>\r\n"+
		"Subject: Your mailbox is almost full\r\n"+
		"Message-ID: <quota.%d@%s>\r\n"+
		"Auto-Submitted: auto-generated\r\n"+
		"MIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n"+
		"\r\n"+
		"The mailbox %s\r\nholds more than %v. %s\r\n"+
		"\r\n"+
		"Please delete what you do not need.\r\n",
		now.Format(time.RFC1123Z), host, address, now.UnixNano(), host,
		address, config.Size(set.Soft), limit)
}
