package smtp

import (
	"bytes"
	"strings"
)

// BodyType, Notify and Ret have the values of their namesakes in internal/mail, which lies above
// this package.

// BodyType is the BODY parameter of MAIL (RFC 6152, RFC 3030).
type BodyType uint8

const (
	Body7Bit BodyType = iota
	Body8BitMIME
	BodyBinaryMIME
)

// Notify is the NOTIFY parameter of RCPT (RFC 3461 4.1); zero means absent.
type Notify uint8

const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever
)

// Ret is the RET parameter of MAIL (RFC 3461 4.3).
type Ret uint8

const (
	RetUnset Ret = iota
	RetFull
	RetHeaders
)

// Extensions says which parameters the server has offered in this session. A parameter of an
// extension that was not offered is answered 555 (RFC 5321 4.1.1.11). A HELO session has none.
type Extensions struct {
	Size         bool // SIZE, RFC 1870
	EightBitMIME bool // RFC 6152
	BinaryMIME   bool // RFC 3030
	DSN          bool // RFC 3461
	Auth         bool // AUTH= of MAIL, RFC 4954 5
	// SMTPUTF8: for MAIL, that the parameter was offered; for RCPT, that MAIL of this transaction
	// carried it (RFC 6531 3.4).
	SMTPUTF8 bool
	// Domain completes addresses that have none, but the bare postmaster (RFC 5321 4.5.1); "": they
	// are refused.
	Domain string
}

// MailArgs is what MAIL said.
type MailArgs struct {
	Sender     string // "" is the null reverse-path
	Domain     string // routing domain of Sender, "" for the null reverse-path
	Size       int64  // SIZE, 0 when absent
	Body       BodyType
	SMTPUTF8   bool
	Ret        Ret
	EnvelopeID string // ENVID decoded
	Auth       string // AUTH= decoded, "<>" included; "" when absent
}

// RcptArgs is what RCPT said.
type RcptArgs struct {
	Address string // without a source route
	Domain  string // routing domain; "" only for the bare postmaster (RFC 5321 4.5.1)
	Notify  Notify
	ORcpt   string // "addr-type;address" decoded
}

var (
	failMailSyntax = Perm(SyntaxError, "5.5.4", "Say MAIL FROM:<address>")
	failRcptSyntax = Perm(SyntaxError, "5.5.4", "Say RCPT TO:<address>")
	failNoDomain   = Perm(SyntaxError, "5.1.7",
		"The sender needs a domain: MAIL FROM:<user@host.example>")
	failNoRcptDom = Perm(SyntaxError, "5.1.3",
		"The recipient needs a domain: RCPT TO:<user@host.example>")
	failNullRcpt = Perm(SyntaxError, "5.1.3",
		"The recipient is empty: RCPT TO:<user@host.example>")
	failSenderUTF8 = Perm(MailboxNameNotAllowed, "5.6.7",
		"An address beyond ASCII needs SMTPUTF8 with MAIL")
	failRcptUTF8 = Perm(MailboxNameNotAllowed, "5.6.7",
		"An address beyond ASCII needs SMTPUTF8 with MAIL of this transaction")
)

// ParseMail parses the arguments of MAIL: FROM:<reverse-path> [SP Mail-parameters] (RFC 5321
// 4.1.1.2).
func ParseMail(args []byte, ext Extensions) (m MailArgs, f *Failure) {
	rest, ok := afterColon(args, "FROM:")
	if !ok {
		return m, failMailSyntax
	}
	p, rest, why := parsePath(rest)
	if why != "" {
		return m, Perm(SyntaxError, "5.1.7", "Bad sender address: "+why)
	}
	p.complete(ext.Domain)
	if p.address != "" && p.domain == "" {
		return m, failNoDomain
	}
	m.Sender, m.Domain = p.address, p.domain
	params := parameters{rest: rest}
	for params.next() {
		if f := m.set(params.key, params.value, ext); f != nil {
			return m, f
		}
	}
	if params.failure != nil {
		return m, params.failure
	}
	if p.nonASCII && !m.SMTPUTF8 {
		return m, failSenderUTF8
	}
	return m, nil
}

func (m *MailArgs) set(key string, value []byte, ext Extensions) *Failure {
	switch {
	case key == "SIZE" && ext.Size:
		n, ok := parseNumber(value)
		if !ok {
			return badValue(key, "give the size in decimal octets")
		}
		m.Size = n
	case key == "BODY" && (ext.EightBitMIME || ext.BinaryMIME):
		switch {
		case equalFold(value, "7BIT"):
			m.Body = Body7Bit
		case equalFold(value, "8BITMIME") && ext.EightBitMIME:
			m.Body = Body8BitMIME
		case equalFold(value, "BINARYMIME") && ext.BinaryMIME:
			m.Body = BodyBinaryMIME
		default:
			return badValue(key, "use 7BIT, 8BITMIME, or BINARYMIME where it is offered")
		}
	case key == "SMTPUTF8" && ext.SMTPUTF8:
		if value != nil {
			return badValue(key, "it takes no value")
		}
		m.SMTPUTF8 = true
	case key == "RET" && ext.DSN:
		switch {
		case equalFold(value, "FULL"):
			m.Ret = RetFull
		case equalFold(value, "HDRS"):
			m.Ret = RetHeaders
		default:
			return badValue(key, "use FULL or HDRS")
		}
	case key == "ENVID" && ext.DSN:
		id, ok := DecodeXText(value)
		if !ok || len(value) > 100 || id == "" || !isPrintable(id) {
			return badValue(key, "give up to 100 octets of xtext")
		}
		m.EnvelopeID = id
	case key == "AUTH" && ext.Auth:
		who, ok := DecodeXText(value)
		if !ok || len(value) > 500 || who == "" || !isPrintable(who) {
			return badValue(key, "give an address as xtext, or <>")
		}
		m.Auth = who
	default:
		return unknownParameter(key)
	}
	return nil
}

// ParseRcpt parses the arguments of RCPT: TO:<forward-path> [SP Rcpt-parameters] (RFC 5321
// 4.1.1.3).
func ParseRcpt(args []byte, ext Extensions) (r RcptArgs, f *Failure) {
	rest, ok := afterColon(args, "TO:")
	if !ok {
		return r, failRcptSyntax
	}
	p, rest, why := parsePath(rest)
	if !strings.EqualFold(p.address, "postmaster") {
		p.complete(ext.Domain)
	}
	switch {
	case why != "":
		return r, Perm(SyntaxError, "5.1.3", "Bad recipient address: "+why)
	case p.address == "":
		return r, failNullRcpt
	case p.domain == "" && !strings.EqualFold(p.address, "postmaster"):
		return r, failNoRcptDom
	case p.nonASCII && !ext.SMTPUTF8:
		return r, failRcptUTF8
	}
	r.Address, r.Domain = p.address, p.domain
	params := parameters{rest: rest}
	for params.next() {
		if f := r.set(params.key, params.value, ext); f != nil {
			return r, f
		}
	}
	return r, params.failure
}

func (r *RcptArgs) set(key string, value []byte, ext Extensions) *Failure {
	switch {
	case key == "NOTIFY" && ext.DSN:
		n, ok := parseNotify(value)
		if !ok {
			return badValue(key, "use NEVER, or a list of SUCCESS, FAILURE, DELAY")
		}
		r.Notify = n
	case key == "ORCPT" && ext.DSN:
		o, ok := parseORcpt(value)
		if !ok {
			return badValue(key, "give addr-type;address as xtext, up to 500 octets")
		}
		r.ORcpt = o
	default:
		return unknownParameter(key)
	}
	return nil
}

// parseNotify reads NEVER or a comma list without NEVER (RFC 3461 4.1).
func parseNotify(value []byte) (n Notify, ok bool) {
	if equalFold(value, "NEVER") {
		return NotifyNever, true
	}
	for len(value) > 0 || n == 0 {
		word, rest, more := bytes.Cut(value, []byte{','})
		var bit Notify
		switch {
		case equalFold(word, "SUCCESS"):
			bit = NotifySuccess
		case equalFold(word, "FAILURE"):
			bit = NotifyFailure
		case equalFold(word, "DELAY"):
			bit = NotifyDelay
		}
		if bit == 0 || n&bit != 0 || more && len(rest) == 0 {
			return 0, false
		}
		n |= bit
		value = rest
	}
	return n, true
}

// parseORcpt reads addr-type ";" xtext (RFC 3461 4.2). The address of type utf-8 may have \x{HEX}
// characters or stand as it is (RFC 6533 3).
func parseORcpt(value []byte) (string, bool) {
	kind, encoded, ok := bytes.Cut(value, []byte{';'})
	if !ok || len(value) > 500 || len(kind) == 0 || len(encoded) == 0 {
		return "", false
	}
	// addr-type is an atom; the registered ones are letters, digits, hyphens
	for _, c := range kind {
		if !isAlnum(c) && c != '-' {
			return "", false
		}
	}
	address, ok := DecodeXText(encoded)
	if !ok {
		return "", false
	}
	switch {
	case equalFold(kind, "UTF-8"):
		address, ok = decodeEmbeddedUnicode(address)
	case !IsASCII(address) && IsASCII(string(encoded)):
		// Postfix 3.7 sends the UTF-8 of an internationalised address as xtext of type rfc822. What
		// is meant is clear, and a report with the right type is well-formed (RFC 6533 3).
		kind, ok = []byte("utf-8"), equalFold(kind, "RFC822")
	default:
		ok = IsASCII(address)
	}
	if !ok || !isPrintable(address) {
		return "", false
	}
	return string(kind) + ";" + address, true
}

// parameters walks over SP esmtp-keyword ["=" esmtp-value] (RFC 5321 4.1.2).
type parameters struct {
	rest    []byte
	key     string // in upper case
	value   []byte // nil when there is no "="
	failure *Failure
	seen    [8]string
	count   int
}

func (p *parameters) next() bool {
	if len(p.rest) == 0 || p.failure != nil {
		return false
	}
	if p.rest[0] != ' ' {
		p.failure = Perm(SyntaxError, "5.5.4", "Put a space between the address and each parameter")
		return false
	}
	word := bytes.TrimLeft(p.rest, " ")
	if len(word) == 0 { // trailing white space
		return false
	}
	if end := bytes.IndexByte(word, ' '); end >= 0 {
		word, p.rest = word[:end], word[end:]
	} else {
		p.rest = nil
	}
	key, value, has := bytes.Cut(word, []byte{'='})
	if !isKeyword(key) || has && len(value) == 0 || !wellFormed(value) {
		p.failure = Perm(SyntaxError, "5.5.4", "Write a parameter as KEYWORD or KEYWORD=value")
		return false
	}
	if !has {
		value = nil
	}
	p.key, p.value = keyword(key), value
	return p.once()
}

// once refuses a parameter given twice: which of the two counts is nobody's guess to make.
func (p *parameters) once() bool {
	for _, k := range p.seen[:p.count] {
		if k == p.key {
			p.failure = Perm(SyntaxError, "5.5.4", "The parameter "+p.key+" is given twice")
			return false
		}
	}
	if p.count == len(p.seen) {
		p.failure = Perm(SyntaxError, "5.5.4", "Too many parameters")
		return false
	}
	p.seen[p.count] = p.key
	p.count++
	return true
}

// keyword returns the upper-case form without allocation for the keywords we know.
func keyword(key []byte) string {
	for _, k := range [...]string{"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH", "NOTIFY",
		"ORCPT"} {
		if equalFold(key, k) {
			return k
		}
	}
	return string(bytes.ToUpper(key))
}

// isKeyword: esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-").
func isKeyword(key []byte) bool {
	if len(key) == 0 || len(key) > 40 || key[0] == '-' {
		return false
	}
	for _, c := range key {
		if !isAlnum(c) && c != '-' {
			return false
		}
	}
	return true
}

// afterColon cuts "FROM:" or "TO:", and the spaces that some clients put after it although RFC 5321
// 3.3 forbids them.
func afterColon(args []byte, word string) ([]byte, bool) {
	if len(args) < len(word) || !equalFold(args[:len(word)], word) || !wellFormed(args) {
		return nil, false
	}
	return bytes.TrimLeft(args[len(word):], " "), true
}

func badValue(key, hint string) *Failure {
	return Perm(SyntaxError, "5.5.4", "Bad value of "+key+": "+hint)
}

func unknownParameter(key string) *Failure {
	return Perm(ParametersNotRecognized, "5.5.4",
		"The parameter "+key+" is not known or not offered here")
}
