package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// kind is the first octet of a frame.
type kind byte

const (
	yes   kind = 'y'
	no    kind = 'n'
	later kind = 'l'
	never kind = 'N'
	ask   kind = 'q'
)

func (k kind) refuses() bool { return k == no || k == later || k == never }

const (
	frameHead = 5
	maxWords  = 1 << 10 // octets of a refusal
	maxJoin   = 1 << 20 // octets of a JoinRequest or JoinReply in JSON
)

// ErrJoinDenied: the peer could be reached and said no. Its words are in the error.
var ErrJoinDenied = errors.New("refused")

// ErrNotNow: the peer could be reached and cannot say yet. The same may be asked again.
// Options.Join may return it.
var ErrNotNow = errors.New("not now")

// ErrFinal: the peer said no for good, as to a member that was removed: trying again is of no use.
// It is an ErrJoinDenied, too.
var ErrFinal = fmt.Errorf("%w for good", ErrJoinDenied)

// Refusal is what a peer said instead of yes.
type Refusal struct {
	Why   error  // ErrJoinDenied, ErrNotNow or ErrFinal
	Words string // clean: they may be logged
}

func (r *Refusal) Error() string { return r.Why.Error() + ": " + r.Words }

func (r *Refusal) Unwrap() error { return r.Why }

// final marks an error of Admit of which the peer is to be told that it is final. On this side it
// is no ErrFinal: it is the other that has no use to try again.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// Final makes an error that Options.Admit returns one that is ErrFinal at the peer. nil stays nil.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return final{err}
}

// readFrame reads one frame with a body of at most limit octets.
func readFrame(r io.Reader, limit int) (kind, []byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	k, n := kind(head[0]), binary.BigEndian.Uint32(head[1:])
	if k != yes && k != ask && !k.refuses() {
		return 0, nil, fmt.Errorf("a frame of kind %d is not known", k)
	}
	if uint64(n) > uint64(limit) {
		return 0, nil, fmt.Errorf("a frame of %d octets, where %d are allowed", n, limit)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, fmt.Errorf("a frame ends early: %w", err)
	}
	return k, body, nil
}

// writeFrame writes one frame in one piece.
func writeFrame(w io.Writer, k kind, body []byte) error {
	b := make([]byte, frameHead, frameHead+len(body))
	b[0] = byte(k)
	binary.BigEndian.PutUint32(b[1:], uint32(len(body)))
	_, err := w.Write(append(b, body...))
	return err
}

// writeNo sends a refusal. That it cannot be sent does not matter: the connection is closed next.
func writeNo(w io.Writer, err error) {
	k, words := no, err.Error()
	switch {
	case errors.Is(err, ErrNotNow):
		k = later
	case errors.As(err, new(final)):
		k = never
	}
	_ = writeFrame(w, k, []byte(words[:min(len(words), maxWords)]))
}

// refusal makes an error of a peer's no, later or never. The words end on terminals and in logs.
func refusal(k kind, body []byte) error {
	words := strings.TrimSpace(string(body[:min(len(body), maxWords)]))
	words = strings.ReplaceAll(words, "\n", "; ") // of joined errors
	words = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, words)
	switch k {
	case later:
		return &Refusal{ErrNotNow, strings.TrimPrefix(words, ErrNotNow.Error()+": ")}
	case never:
		return &Refusal{ErrFinal, words}
	}
	return &Refusal{ErrJoinDenied, words}
}

// purpose is the first octet of a connection.
type purpose byte

const (
	forRaft purpose = 'R'
	forHTTP purpose = 'H'
	forJoin purpose = 'J'
)

// preface says what a connection is for.
type preface struct {
	purpose purpose
	group   uint64 // with forRaft
}

func (p preface) append(b []byte) []byte {
	b = append(b, byte(p.purpose))
	if p.purpose == forRaft {
		b = binary.BigEndian.AppendUint64(b, p.group)
	}
	return b
}

func readPreface(r io.Reader) (p preface, err error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return p, err
	}
	switch p.purpose = purpose(b[0]); p.purpose {
	case forHTTP, forJoin:
		return p, nil
	case forRaft:
		_, err := io.ReadFull(r, b[:])
		p.group = binary.BigEndian.Uint64(b[:])
		return p, err
	}
	return p, fmt.Errorf("a connection for %q is not known: is one of the nodes much older?", b[:1])
}
