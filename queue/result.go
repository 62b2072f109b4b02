package queue

import (
	"encoding/binary"
	"fmt"
)

// What Apply returns, in the form in which it travels to a proposer on another member: version,
// kind, and what the kind says.
const (
	resultNone = iota
	resultAccept
	resultSettle
	resultEpoch
	resultMoved // recipients moved by an operator's command
	resultSeal
	resultSuspend
	resultOffer
	resultLetGo
	resultTake
	resultFinish
)

// AppendResult appends the encoded form of what Apply returned. It panics on anything else.
func (*Queue) AppendResult(b []byte, result any) []byte { return appendResult(b, result) }

// ParseResult reads what AppendResult made.
func (*Queue) ParseResult(b []byte) (any, error) { return ParseResult(b) }

func appendResult(b []byte, result any) []byte {
	switch r := result.(type) {
	case nil:
		return append(b, formatVersion, resultNone)
	case acceptResult:
		return append(b, formatVersion, resultAccept, bit(r.ok))
	case settleResult:
		return append(b, formatVersion, resultSettle, bit(r.ok))
	case sealResult:
		return append(b, formatVersion, resultSeal, bit(r.ok))
	case offerResult:
		return binary.AppendUvarint(append(b, formatVersion, resultOffer), r.serial)
	case letGoResult:
		return append(b, formatVersion, resultLetGo, bit(r.ok))
	case takeResult:
		return append(b, formatVersion, resultTake, bit(r.ok))
	case finishResult:
		return append(b, formatVersion, resultFinish, bit(r.ok))
	case suspendResult:
		b = binary.AppendUvarint(append(b, formatVersion, resultSuspend), r.version)
		return binary.AppendUvarint(b, r.index)
	case epochResult:
		b = binary.AppendUvarint(append(b, formatVersion, resultEpoch), r.index)
		return binary.AppendUvarint(b, uint64(r.time))
	case []recipientRef:
		b = binary.AppendUvarint(append(b, formatVersion, resultMoved), uint64(len(r)))
		for _, ref := range r {
			b = binary.AppendUvarint(append(b, ref.ID[:]...), uint64(ref.Number))
		}
		return b
	}
	panic(fmt.Sprintf("queue: %T is no result of a command", result))
}

// ParseResult reads a result of a group whose queue this member does not have.
func ParseResult(b []byte) (result any, err error) {
	d := decoder{b: b}
	d.version()
	switch d.u8() {
	case resultNone:
	case resultAccept:
		result = acceptResult{d.bit()}
	case resultSettle:
		result = settleResult{d.bit()}
	case resultSeal:
		result = sealResult{d.bit()}
	case resultEpoch:
		result = epochResult{d.uvarint(), d.millis()}
	case resultSuspend:
		result = suspendResult{d.uvarint(), d.uvarint()}
	case resultOffer:
		result = offerResult{d.uvarint()}
	case resultLetGo:
		result = letGoResult{d.bit()}
	case resultTake:
		result = takeResult{d.bit()}
	case resultFinish:
		result = finishResult{d.bit()}
	case resultMoved:
		var refs []recipientRef
		for n := d.count(idLen + 1); n > 0 && !d.bad; n-- {
			refs = append(refs, recipientRef{d.id(), uint32(d.below(countsNumber))})
		}
		result = refs
	default:
		d.bad = true
	}
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("result of a command: %w", err)
	}
	return result, nil
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func (d *decoder) bit() bool { return d.below(2) == 1 }
