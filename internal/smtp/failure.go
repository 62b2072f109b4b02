package smtp

import (
	"errors"
	"strconv"
	"time"
)

// Failure is the one value that carries a failure from where it is found to where it is reported:
// to the SMTP peer, to the log, to the sender in a DSN. Whether it is temporary follows from its
// code and is never stored beside it.
type Failure struct {
	Code     int    // SMTP reply code, 4xx or 5xx (RFC 5321 4.2)
	Enhanced string // enhanced status code such as "4.3.0" (RFC 3463)
	Text     string // for the peer: one sentence that says what to do
	Log      string // for our log, when there is more to say than the peer may see
	Close    bool   // the connection ends with this reply (421 and the like)
	Cause    error
	// Delay is how late a server says it, to a peer that asks for too much.
	Delay time.Duration
}

// Temporary reports whether the same command may succeed later (4yz).
func (f *Failure) Temporary() bool { return f.Code/100 == 4 }

func (f *Failure) Error() string {
	s := strconv.Itoa(f.Code) + " " + f.Enhanced + " " + f.Text
	if f.Log != "" {
		s += " (" + f.Log + ")"
	}
	if f.Cause != nil {
		s += ": " + f.Cause.Error()
	}
	return s
}

func (f *Failure) Unwrap() error { return f.Cause }

// ErrLogged is the cause of a failure that a session does not log: who returns it does, and not
// each time.
var ErrLogged = errors.New("logged elsewhere")

// LogText is what the peer is told, with what only our log may say.
func (f *Failure) LogText() string {
	text := f.Text
	if f.Log != "" {
		text += " (" + f.Log + ")"
	}
	if f.Cause != nil && !errors.Is(f, ErrLogged) {
		text += ": " + f.Cause.Error()
	}
	return text
}

// Temp makes a failure after which the same may succeed later.
func Temp(code int, enhanced, text string) *Failure {
	return &Failure{Code: code, Enhanced: enhanced, Text: text}
}

// Perm makes a failure that stays.
func Perm(code int, enhanced, text string) *Failure {
	return &Failure{Code: code, Enhanced: enhanced, Text: text}
}

// With returns a copy of f that wraps err.
func (f *Failure) With(err error) *Failure {
	g := *f
	g.Cause = err
	return &g
}
