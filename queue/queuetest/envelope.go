package queuetest

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/postroad/postroad/internal/mail"
)

// Envelope returns an envelope of a client. A recipient is its address and, after a blank, its
// NOTIFY: words with commas between them.
func Envelope(sender string, recipients ...string) *mail.Envelope {
	e := &mail.Envelope{
		Sender: sender,
		Origin: mail.Origin{Helo: "client.example", Protocol: "ESMTP", Tenant: "t1"},
	}
	for _, r := range recipients {
		address, notify, _ := strings.Cut(r, " ")
		e.Recipients = append(
			e.Recipients,
			mail.Recipient{
				Address: address,
				Domain:  mail.DomainOf(address),
				Notify:  notifyOf(notify),
			},
		)
	}
	return e
}

func notifyOf(words string) (n mail.Notify) {
	for _, w := range strings.Split(words, ",") {
		n |= map[string]mail.Notify{"": 0, "success": mail.NotifySuccess,
			"failure": mail.NotifyFailure, "delay": mail.NotifyDelay, "never": mail.NotifyNever}[w]
	}
	return n
}

// FullEnvelope returns an envelope in which every field says something.
func FullEnvelope() *mail.Envelope {
	e := Envelope(
		"sender@example.net",
		"a@example.com success,delay",
		"b@example.org",
		"c@example.com never",
	)
	e.Recipients[1].ORcpt, e.EnvelopeID, e.SMTPUTF8, e.Body, e.Ret = "rfc822;b@example.org",
		"env-1", true, mail.Body8BitMIME, mail.RetHeaders
	e.Origin.Client = netip.MustParseAddrPort("[2001:db8::2]:40000")
	e.TraceContext = bytes.Repeat([]byte{7}, 24)
	return e
}
