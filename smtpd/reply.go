package smtpd

import (
	"strconv"
	"strings"

	"github.com/postroad/postroad/internal/smtp"
)

// Replies that need no thought, ready to be sent.
const (
	replyOk   = "250 2.0.0 Ok\r\n"
	replyHelp = "214-2.0.0 Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET " +
		"NOOP VRFY HELP QUIT\r\n214 2.0.0 See RFC 5321\r\n"
	replyMail          = "250 2.1.0 Sender ok\r\n"
	replyRcpt          = "250 2.1.5 Recipient ok\r\n"
	replyData          = "354 End data with <CR><LF>.<CR><LF>\r\n"
	replyChunk         = "250 2.0.0 Chunk received\r\n"
	replyStartTLS      = "220 2.0.0 Ready to start TLS\r\n"
	replyVrfy          = "252 2.0.0 Send some mail, that will show\r\n" // RFC 5321 3.5.3
	replyQuit          = "221 2.0.0 Bye\r\n"
	replyAuthed        = "235 2.7.0 Authentication succeeded\r\n"
	replyQueued        = "250 2.0.0 Ok: queued as "
	replyLoginUser     = "334 VXNlcm5hbWU6\r\n" // Username:
	replyLoginPassword = "334 UGFzc3dvcmQ6\r\n" // Password:
	replyNoChallenge   = "334 \r\n"
)

// Failures that a session finds by itself. The text says what the client should do.
var (
	errLineTooLong = smtp.Perm(500, "5.5.2",
		"Line too long; RFC 5321 4.5.3.1.4 allows 512 octets")
	errLineEndless  = closing(smtp.Perm(500, "5.5.2", "Line too long; goodbye"))
	errBareLF       = smtp.Perm(500, "5.5.2", "End commands with CR LF, not with LF alone")
	errMalformed    = smtp.Perm(501, "5.5.2", "Control or broken UTF-8 octets in a command")
	errUnknown      = smtp.Perm(500, "5.5.1", "Command not recognized; HELP lists the commands")
	errNotOurs      = smtp.Perm(502, "5.5.1", "Command not implemented")
	errForeign      = closing(smtp.Perm(554, "5.5.1", "This is a mail server"))
	errVrfyArgs     = smtp.Perm(501, "5.5.4", "Say VRFY address")
	errNoArgs       = smtp.Perm(501, "5.5.4", "This command takes no argument")
	errNeedHello    = smtp.Perm(503, "5.5.1", "Say EHLO or HELO first")
	errNeedEhlo     = smtp.Perm(503, "5.5.1", "Say EHLO first")
	errNeedLhlo     = smtp.Perm(503, "5.5.1", "Say LHLO first")
	errLMTP         = smtp.Perm(500, "5.5.1", "This is LMTP: say LHLO instead") // RFC 2033 4.1
	errNobody       = smtp.Perm(503, "5.5.1", "No valid recipients")            // RFC 2033 4.2
	errNeedMail     = smtp.Perm(503, "5.5.1", "Say MAIL first")
	errNested       = smtp.Perm(503, "5.5.1", "A mail transaction is open; finish it or say RSET")
	errNoRecipients = smtp.Perm(554, "5.5.1", "No valid recipients")
	errInChunks     = smtp.Perm(503, "5.5.1",
		"Chunks of a message were sent; go on with BDAT or say RSET")
	errBinaryData = smtp.Perm(503, "5.5.1", "BINARYMIME needs BDAT") // RFC 3030 3
	errEarly      = closing(smtp.Perm(554, "5.5.0", "You spoke before the greeting"))
	errUnsynced   = closing(smtp.Perm(554, "5.5.0",
		"You sent more before you saw the reply; RFC 2920 3.1 forbids it here"))
	errProxyHeader = closing(smtp.Perm(554, "5.5.0", "A PROXY header must come first"))
	errTooManyRcpt = smtp.Temp(452, "4.5.3",
		"Too many recipients; send the others in another transaction")
	errRcptFlood    = closing(smtp.Temp(421, "4.7.0", "Too many recipients refused; goodbye"))
	errTooManyMails = closing(smtp.Temp(421, "4.7.0",
		"Too many messages in one connection; connect again"))
	// nobody is listened to for as long as such a chunk may take
	errHugeChunk = closing(smtp.Perm(552, "5.3.4",
		"The chunk is larger than any message may be; goodbye"))
	errJunk = closing(smtp.Temp(421, "4.7.0",
		"Too many commands that move no mail; goodbye"))
	errTooManyErrors = closing(smtp.Temp(421, "4.7.0", "Too many errors; goodbye"))
	errTooManyAuth   = closing(smtp.Temp(421, "4.7.0", "Too many failed log-ins; goodbye"))
	errIdle          = closing(smtp.Temp(421, "4.4.2", "Timeout waiting for you; connect again"))
	errSlow          = closing(smtp.Temp(421, "4.4.2", "Mail data came too slowly; connect again"))
	errNetworkFull   = closing(smtp.Temp(421, "4.7.0",
		"Too many connections from your network; try again later"))
	errServerFull = closing(smtp.Temp(421, "4.3.2", "Too many connections; try again later"))
	errGaveWay    = closing(smtp.Temp(421, "4.3.2",
		"Too many connections, and this one was silent; connect again"))
	errShutdown  = closing(smtp.Temp(421, "4.3.2", "Server is shutting down; try again"))
	errNeedTLS   = smtp.Perm(530, "5.7.0", "Must issue a STARTTLS command first") // RFC 3207 4
	errNeedAuth  = smtp.Perm(530, "5.7.0", "Authentication required")             // RFC 4954 6
	errNoTLS     = smtp.Temp(454, "4.7.0", "TLS is not available")
	errTLSActive = smtp.Perm(503, "5.5.1", "TLS is active already")
	// RFC 4954 6
	errAuthClear     = smtp.Perm(538, "5.7.11", "Encryption required; issue STARTTLS first")
	errAuthTwice     = smtp.Perm(503, "5.5.1", "You are authenticated already")
	errAuthCancelled = smtp.Perm(501, "5.7.0", "Authentication cancelled")
	errAuthBase64    = smtp.Perm(501, "5.5.2", "That is not base64")
	errAuthPlain     = smtp.Perm(501, "5.5.2",
		"PLAIN wants authzid NUL authcid NUL password (RFC 4616)")
	errAuthMechanism = smtp.Perm(504, "5.5.4", "Mechanism not offered; EHLO says which are")
	errAuthInvalid   = smtp.Perm(535, "5.7.8", "Authentication credentials invalid")
	errTooBig        = smtp.Perm(552, "5.3.4", "Message is larger than the limit that EHLO says")
	errLoop          = smtp.Perm(554, "5.4.6",
		"Too many Received fields: this message runs in a loop")
	errBareCRLF = smtp.Perm(554, "5.6.0",
		"Message has a CR or LF that is not part of CR LF (RFC 5321 2.3.8)")
	errTextLine = smtp.Perm(554, "5.6.0",
		"Message has a line that is too long (RFC 5321 4.5.3.1.6); encode it")
	errNoMemory = smtp.Temp(452, "4.3.1", "Insufficient system storage; try again later")
	errNoRoom   = smtp.Temp(452, "4.3.1",
		"This server has too little free disk space for this message now; try again later")
	errSpill = smtp.Temp(452, "4.3.1", "Insufficient system storage; try again later")
)

func closing(f *smtp.Failure) *smtp.Failure {
	f.Close = true
	return f
}

// ehloLines are the extensions whose offer does not change during a session, in one piece.
func ehloLines(hostname string, l *Limits) string {
	var b strings.Builder
	for _, line := range []string{
		hostname, "PIPELINING",
		"SIZE " + strconv.FormatInt(l.MessageSize, 10),
		"8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "DSN",
		limitsLine(l),
	} {
		if line != "" {
			b.WriteString("250-" + line + "\r\n")
		}
	}
	return b.String()
}

// limitsLine is the LIMITS extension (RFC 9422 4), whose values have at most six digits; a greater
// limit is not worth saying.
func limitsLine(l *Limits) (line string) {
	for _, limit := range []struct {
		name  string
		value int
	}{{"MAILMAX", l.Transactions}, {"RCPTMAX", l.Recipients}} {
		if limit.value <= 999_999 {
			line += " " + limit.name + "=" + strconv.Itoa(limit.value)
		}
	}
	if line != "" {
		line = "LIMITS" + line
	}
	return line
}
