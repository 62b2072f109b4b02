package smtpclient

import (
	"strconv"
	"strings"
)

// Offers is what the peer's EHLO reply offered.
type Offers struct {
	ESMTP        bool
	Pipelining   bool // RFC 2920
	EightBitMIME bool // RFC 6152
	SMTPUTF8     bool // RFC 6531
	// RFC 3461: without it the caller reports "relayed" where success was asked for
	DSN                 bool
	Chunking            bool // RFC 3030
	BinaryMIME          bool
	StartTLS            bool
	EnhancedStatusCodes bool
	Size                bool  // RFC 1870
	MaxSize             int64 // octets; 0: no limit known
	AuthPlain           bool
	AuthLogin           bool
	RcptMax             int // recipients in a transaction, LIMITS (RFC 9422); 0: not said
	MailMax             int // transactions in a connection; Usable minds it
}

// readOffers reads the lines of an EHLO reply (RFC 5321 4.1.1.1); the first is the peer's name.
func readOffers(text string) (o Offers) {
	o.ESMTP = true
	_, rest, more := strings.Cut(text, "\n")
	for more {
		var line string
		line, rest, more = strings.Cut(rest, "\n")
		word, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		o.read(strings.ToUpper(word), strings.ToUpper(args))
	}
	return o
}

func (o *Offers) read(word, args string) {
	switch word {
	case "PIPELINING":
		o.Pipelining = true
	case "8BITMIME":
		o.EightBitMIME = true
	case "SMTPUTF8":
		o.SMTPUTF8 = true
	case "DSN":
		o.DSN = true
	case "CHUNKING":
		o.Chunking = true
	case "BINARYMIME":
		o.BinaryMIME = true
	case "STARTTLS":
		o.StartTLS = true
	case "ENHANCEDSTATUSCODES":
		o.EnhancedStatusCodes = true
	case "SIZE":
		o.Size = true
		if n, err := strconv.ParseInt(strings.TrimSpace(args), 10, 64); err == nil && n > 0 {
			o.MaxSize = n
		}
	case "AUTH":
		o.auth(args)
	case "LIMITS":
		o.limits(args)
	default:
		if mechanisms, ok := strings.CutPrefix(word, "AUTH="); ok { // old servers
			o.auth(mechanisms + " " + args)
		}
	}
}

func (o *Offers) auth(args string) {
	for _, m := range strings.Fields(args) {
		o.AuthPlain = o.AuthPlain || m == "PLAIN"
		o.AuthLogin = o.AuthLogin || m == "LOGIN"
	}
}

func (o *Offers) limits(args string) {
	for _, l := range strings.Fields(args) {
		name, value, _ := strings.Cut(l, "=")
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 {
			continue
		}
		switch name {
		case "RCPTMAX":
			o.RcptMax = n
		case "MAILMAX":
			o.MailMax = n
		}
	}
}
