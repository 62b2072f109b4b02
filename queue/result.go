package queue

import (
	"encoding/binary"
	"fmt"

	"github.com/postroad/postroad/internal/codec"
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

// appendResult appends the encoded form of what Apply returned. It panics on anything else.
func appendResult(b []byte, result any) []byte {
	switch r := result.(type) {
	case nil:
		return append(b, formatVersion, resultNone)
	case acceptResult:
		return append(b, formatVersion, resultAccept, codec.Bit(r.ok))
	case settleResult:
		return append(b, formatVersion, resultSettle, codec.Bit(r.ok))
	case sealResult:
		return append(b, formatVersion, resultSeal, codec.Bit(r.ok))
	case offerResult:
		return binary.AppendUvarint(append(b, formatVersion, resultOffer), r.serial)
	case letGoResult:
		return append(b, formatVersion, resultLetGo, codec.Bit(r.ok))
	case takeResult:
		return append(b, formatVersion, resultTake, codec.Bit(r.ok))
	case finishResult:
		return append(b, formatVersion, resultFinish, codec.Bit(r.ok))
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
	d := decoder{codec.New(b)}
	d.version()
	switch d.Octet() {
	case resultNone:
	case resultAccept:
		result = acceptResult{d.Bit()}
	case resultSettle:
		result = settleResult{d.Bit()}
	case resultSeal:
		result = sealResult{d.Bit()}
	case resultEpoch:
		result = epochResult{d.Uvarint(), d.Millis()}
	case resultSuspend:
		result = suspendResult{d.Uvarint(), d.Uvarint()}
	case resultOffer:
		result = offerResult{d.Uvarint()}
	case resultLetGo:
		result = letGoResult{d.Bit()}
	case resultTake:
		result = takeResult{d.Bit()}
	case resultFinish:
		result = finishResult{d.Bit()}
	case resultMoved:
		var refs []recipientRef
		for n := d.Count(idLen + 1); n > 0 && !d.Failed(); n-- {
			refs = append(refs, recipientRef{d.id(), uint32(d.Below(countsNumber))})
		}
		result = refs
	default:
		d.Fail()
	}
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("result of a command: %w", err)
	}
	return result, nil
}
