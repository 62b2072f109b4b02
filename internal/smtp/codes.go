package smtp

// Reply codes (RFC 5321 4.2.3, RFC 4954, RFC 3207), named so that a call reads as the RFC does.
const (
	SystemStatus   = 211
	HelpMessage    = 214
	ServiceReady   = 220
	ServiceClosing = 221
	AuthSucceeded  = 235 // RFC 4954 6
	Completed      = 250
	CannotVerify   = 252
	AuthContinue   = 334 // RFC 4954 4
	StartMailInput = 354

	ServiceUnavailable  = 421
	MailboxUnavailableT = 450 // temporary: busy, or blocked for policy reasons
	LocalError          = 451
	InsufficientStorage = 452
	TempAuthFailure     = 454 // RFC 4954 6; also TLS not available, RFC 3207 4
	ParametersRefused   = 455

	CommandUnrecognized     = 500
	SyntaxError             = 501
	NotImplemented          = 502
	BadSequence             = 503
	ParameterNotImplemented = 504
	AuthRequired            = 530 // RFC 4954 6; also must issue STARTTLS first, RFC 3207 4
	AuthInvalid             = 535 // RFC 4954 6
	EncryptionNeeded        = 538 // RFC 4954 6
	MailboxUnavailable      = 550
	ExceededStorage         = 552
	MailboxNameNotAllowed   = 553
	TransactionFailed       = 554
	ParametersNotRecognized = 555
)

// Protocol returns the "with" keyword of a Received field (RFC 5321 4.4, RFC 3848, RFC 6531 4.3).
func Protocol(esmtp, tls, auth, utf8 bool) string {
	if !esmtp && !utf8 {
		// RFC 3848 knows no keyword for a HELO session with TLS: it cannot be started without EHLO
		return "SMTP"
	}
	i := 0
	if tls {
		i |= 1
	}
	if auth {
		i |= 2
	}
	if utf8 {
		return [...]string{"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"}[i]
	}
	return [...]string{"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"}[i]
}

// LMTPProtocol is Protocol for LMTP (RFC 3848, RFC 6531 4.3) without AUTH.
func LMTPProtocol(tls, utf8 bool) string {
	switch {
	case tls && utf8:
		return "UTF8LMTPS"
	case utf8:
		return "UTF8LMTP"
	case tls:
		return "LMTPS"
	}
	return "LMTP"
}
