package maillog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// Options of a Log. The zero value of a field means its default.
type Options struct {
	// Lines takes the log lines; nil: nobody does.
	Lines io.Writer
	// JSON makes each line a JSON object with the members time, level, program and msg, and what
	// msg says as members of its own; else it is text.
	JSON bool
	// Prefix begins each text line as syslog does: "Nov 23 05:21:28 host postroad/smtp[4711]: ".
	// Leave it out when the reader of Lines adds one of its own, as the journal does.
	Prefix bool
	// Journal says that Lines is what Journal returns.
	Journal bool
	// Host is the host name of the prefix, and Node the nodeid of events.
	Host, Node string
	// Events is the path of the event log; "": none. At Rotate octets (default 100 MiB) it is
	// renamed, and the newest Keep renamed files are kept (0: all).
	Events string
	Rotate int64
	Keep   int
	// Buffer bounds the octets that wait to be written, for the lines and for the events each
	// (default 4 MiB). What does not fit is dropped and counted, and the log says so.
	Buffer int
}

// Log is the Sink that writes log lines and the event log. Records are formatted by the caller's
// goroutine, without allocation, and written by one goroutine per output. Safe for use by several
// goroutines.
type Log struct {
	node      string
	form      atomic.Pointer[form]
	lines     *stream     // nil without Lines
	recording atomic.Bool // there is an event log
	events    *stream
	file      *file // what events writes to
}

// scratch holds the buffers in which lines are made before they are appended to a stream.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// Open starts a log. Close it to write what is buffered.
func Open(o Options) (*Log, error) {
	if o.Buffer == 0 {
		o.Buffer = 4 << 20
	}
	l := &Log{node: o.Node, file: &file{}}
	configure, err := l.Prepare(o)
	if err != nil {
		return nil, err
	}
	configure()
	if o.Lines != nil {
		l.lines = newStream(o.Lines, o.Buffer)
		l.lines.lost = func(dropped uint64, err error) []byte {
			return l.lost("log lines", dropped, err)
		}
	}
	l.events = newStream(l.file, o.Buffer)
	l.events.lost = func(dropped uint64, err error) []byte {
		if l.lines != nil {
			l.lines.append(l.lost("events", dropped, err))
		}
		return nil
	}
	return l, nil
}

// Prepare says why a log cannot go on with other options, or returns what puts them in force: JSON,
// Prefix, Journal, Host, Events, Rotate and Keep; the others stay as they are. Events that wait to
// be written go to the file of the new options, or to the former one when there is none any more.
func (l *Log) Prepare(o Options) (configure func(), err error) {
	if o.Rotate == 0 {
		o.Rotate = 100 << 20
	}
	if o.Events != "" {
		err := touch(o.Events)
		// what a full disk refuses, the next write tries again
		if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return nil, fmt.Errorf("event log: %w", err)
		}
	}
	return func() {
		l.form.Store(&form{json: o.JSON, prefix: o.Prefix,
			journal: o.Journal, host: o.Host, pid: strconv.Itoa(os.Getpid())})
		if o.Events != "" {
			l.file.want.Store(&place{path: o.Events, max: o.Rotate, keep: o.Keep})
		}
		l.recording.Store(o.Events != "")
	}, nil
}

// lost is the line that says that something was dropped.
func (l *Log) lost(what string, dropped uint64, err error) []byte {
	msg := fmt.Sprintf("%d %s were dropped", dropped, what)
	if err != nil {
		msg += ": " + err.Error()
	} else {
		msg += ": they came faster than they could be written"
	}
	return l.form.Load().message("error", msg)
}

// Log writes one mail event: its line and its entry in the event log.
func (l *Log) Log(r *Record) {
	buf := scratch.Get().(*[]byte)
	if l.lines != nil && r.Type.hasLine() {
		b := l.form.Load().record((*buf)[:0], r)
		l.lines.append(b)
		if r.Type == Reception {
			b = l.form.Load().messageID(b[:0], r)
			l.lines.append(b)
		}
		*buf = b
	}
	if l.recording.Load() {
		b := appendEvent((*buf)[:0], r, l.node)
		l.events.append(b)
		*buf = b
	}
	scratch.Put(buf)
}

func (f *form) record(b []byte, r *Record) []byte {
	b = f.begin(b, r.At, r.component(), "info")
	if f.json {
		b = appendMembers(b, r)
	}
	return f.end(appendRecord(f.words(b), r))
}

func (f *form) messageID(b []byte, r *Record) []byte {
	b = f.begin(b, r.At, "cleanup", "info")
	if f.json {
		b = lineMember(appendIDMember(b, r.ID), `"message_id":`, r.MessageID)
	}
	return f.end(appendMessageID(f.words(b), r))
}

// Queued writes "ID: from=<sender>, size=N, nrcpt=N (queue active)".
func (l *Log) Queued(id mail.ID, sender string, size int64, recipients int) {
	if l.lines == nil {
		return
	}
	buf, f := scratch.Get().(*[]byte), l.form.Load()
	b := f.begin((*buf)[:0], time.Time{}, "qmgr", "info")
	if f.json {
		b = lineMember(appendIDMember(b, id), `"from":`, sender)
		b = appendNumber(appendNumber(b, `"size":`, size), `"nrcpt":`, int64(recipients))
		b = append(b, `"status":"queued",`...)
	}
	b = append(id.AppendTo(f.words(b)), ": from=<"...)
	b = append(appendClean(b, sender, maxAddress), ">, size="...)
	b = append(strconv.AppendInt(b, size, 10), ", nrcpt="...)
	b = append(strconv.AppendInt(b, int64(recipients), 10), " (queue active)"...)
	*buf = f.end(b)
	l.lines.append(*buf)
	scratch.Put(buf)
}

// Removed writes "ID: removed".
func (l *Log) Removed(id mail.ID) {
	if l.lines == nil {
		return
	}
	buf, f := scratch.Get().(*[]byte), l.form.Load()
	b := f.begin((*buf)[:0], time.Time{}, "qmgr", "info")
	if f.json {
		b = append(appendIDMember(b, id), `"status":"removed",`...)
	}
	*buf = f.end(append(id.AppendTo(f.words(b)), ": removed"...))
	l.lines.append(*buf)
	scratch.Put(buf)
}

// Logf writes a message for the operator.
func (l *Log) Logf(format string, args ...any) { l.say("info", format, args) }

// Errorf writes a message that calls for action.
func (l *Log) Errorf(format string, args ...any) { l.say("error", format, args) }

func (l *Log) say(level, format string, args []any) {
	if l.lines != nil {
		l.lines.append(l.form.Load().message(level, fmt.Sprintf(format, args...)))
	}
}

func (f *form) message(level, msg string) []byte {
	b := f.words(f.begin(nil, time.Time{}, "", level))
	if level == "error" && !f.json {
		b = append(b, "error: "...)
	}
	// of joined errors
	return f.end(appendClean(b, strings.ReplaceAll(msg, "\n", "; "), maxMessage))
}

// Stats counts what was written and what was not.
type Stats struct {
	Lines, LinesDropped   uint64
	Events, EventsDropped uint64
}

// Stats returns the counts since Open.
func (l *Log) Stats() (s Stats) {
	if l.lines != nil {
		s.Lines, s.LinesDropped = l.lines.count()
	}
	s.Events, s.EventsDropped = l.events.count()
	return s
}

// Reopen opens the event log's file afresh, for those who move it away themselves.
func (l *Log) Reopen() { l.file.again.Store(true) }

// Flush returns when everything logged before the call was written, or ctx ended.
func (l *Log) Flush(ctx context.Context) error {
	var errs []error
	for _, s := range []*stream{l.events, l.lines} {
		if s != nil {
			errs = append(errs, s.flush(ctx))
		}
	}
	return errors.Join(errs...)
}

// Close writes what is buffered, or gives up when ctx ends. What is logged afterwards is dropped.
func (l *Log) Close(ctx context.Context) error {
	errs := []error{l.events.close(ctx)}
	select {
	case <-l.events.done: // its goroutine no longer uses the file
		errs = append(errs, l.file.close())
	default:
	}
	if l.lines != nil { // the last, because it reports what the events lost
		errs = append(errs, l.lines.close(ctx))
	}
	return errors.Join(errs...)
}
