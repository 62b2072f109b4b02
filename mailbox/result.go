package mailbox

import (
	"encoding/binary"
	"fmt"

	"github.com/postroad/postroad/internal/codec"
)

// This file has the results of Apply, in the form in which they are kept for a repeated command and
// travel to another member: version, kind, and what the kind says.
const (
	// nothing happened: the owner is another, or a later command of the slot came first
	resultRefused = iota + 1
	resultEpoch
	resultAppend
	resultVerb
)

type refused struct{}

// epochResult is what Start learns; index 0: another epoch came between.
type epochResult struct {
	index uint64
	time  int64
}

// appendResult has a result for each item of the command, in order.
type appendResult []Result

// status says how a verb ended.
type status byte

const (
	statusOK status = iota
	statusNoMailbox
	statusNoFolder
	statusExists
	statusFull
	statusTooMany
	statusStaleLock
	statusAgain // a chunk whose fellows may have been swept

	statuses
)

// err is what the caller of a verb is told.
func (s status) err() error {
	return [statuses]error{
		nil, ErrNoMailbox, ErrNoFolder, ErrExists, ErrFull, ErrTooMany, ErrStaleLock, ErrContent,
	}[s]
}

// verbResult is what a verb came to.
type verbResult struct {
	status status
	number uint32 // of what was created
	count  uint32 // messages that were changed
	modSeq uint64 // of the folder (a copy's: of the one that got them)
	uids   []UID  // copy: those that were; flags: those that had been changed since
	first  UID    // copy: UID of the first of the new ones, which follow each other
}

// encodeResult appends the encoded form of what Apply returned. It panics on anything else.
func encodeResult(b []byte, result any) []byte {
	switch r := result.(type) {
	case refused:
		return append(b, formatVersion, resultRefused)
	case epochResult:
		b = binary.AppendUvarint(append(b, formatVersion, resultEpoch), r.index)
		return binary.AppendUvarint(b, uint64(r.time))
	case appendResult:
		b = binary.AppendUvarint(append(b, formatVersion, resultAppend), uint64(len(r)))
		for _, it := range r {
			b = append(b, byte(it.Code)|codec.Bit(it.InInbox)<<4|codec.Bit(it.Warn)<<5)
			if it.Code == Stored {
				b = binary.AppendUvarint(b, uint64(it.UID))
			}
		}
		return b
	case verbResult:
		b = append(b, formatVersion, resultVerb, byte(r.status))
		for _, v := range [...]uint64{
			uint64(r.number), uint64(r.count), r.modSeq, uint64(r.first),
		} {
			b = binary.AppendUvarint(b, v)
		}
		return appendUIDs(b, r.uids)
	}
	panic(fmt.Sprintf("mailbox: %T is no result of a command", result))
}

// parseResult reads what encodeResult made.
func parseResult(b []byte) (result any, err error) {
	d := decoder{codec.New(b)}
	d.version()
	switch d.Octet() {
	case resultRefused:
		result = refused{}
	case resultEpoch:
		result = epochResult{d.Uvarint(), d.Millis()}
	case resultAppend:
		n := d.Count(1)
		all := make(appendResult, 0, n)
		for ; n > 0 && !d.Failed(); n-- {
			all = append(all, d.result())
		}
		result = all
	case resultVerb:
		r := verbResult{
			status: status(d.Octet()),
			number: d.Uint32(),
			count:  d.Uint32(),
			modSeq: d.Uvarint(),
			first:  d.Uint32(),
			uids:   d.uids(nil),
		}
		if r.status >= statuses {
			d.Fail()
		}
		result = r
	default:
		d.Fail()
	}
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("result of a command: %w", err)
	}
	return result, nil
}

func (d *decoder) result() (r Result) {
	b := d.Octet()
	r = Result{Code: Code(b & 15), InInbox: b&16 != 0, Warn: b&32 != 0}
	if r.Code < Stored || r.Code > Again || b > 63 || r.Code != Stored && b > 15 {
		d.Fail()
	}
	if r.Code == Stored {
		r.UID = d.Uint32()
	}
	return r
}
