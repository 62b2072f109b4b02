package machine

import (
	"encoding/binary"
	"fmt"

	"github.com/postroad/postroad/internal/codec"
)

// This file has the results of Apply, in the form in which they travel to a proposer on another
// member: version, kind, and what the kind says.
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
func AppendResult(b []byte, result any) []byte {
	switch r := result.(type) {
	case nil:
		return append(b, FormatVersion, resultNone)
	case AcceptResult:
		return append(b, FormatVersion, resultAccept, codec.Bit(r.Ok))
	case SettleResult:
		return append(b, FormatVersion, resultSettle, codec.Bit(r.Ok))
	case SealResult:
		return append(b, FormatVersion, resultSeal, codec.Bit(r.Ok))
	case OfferResult:
		return binary.AppendUvarint(append(b, FormatVersion, resultOffer), r.Serial)
	case LetGoResult:
		return append(b, FormatVersion, resultLetGo, codec.Bit(r.Ok))
	case TakeResult:
		return append(b, FormatVersion, resultTake, codec.Bit(r.Ok))
	case FinishResult:
		return append(b, FormatVersion, resultFinish, codec.Bit(r.Ok))
	case SuspendResult:
		b = binary.AppendUvarint(append(b, FormatVersion, resultSuspend), r.Version)
		return binary.AppendUvarint(b, r.Index)
	case EpochResult:
		b = binary.AppendUvarint(append(b, FormatVersion, resultEpoch), r.Index)
		return binary.AppendUvarint(b, uint64(r.Time))
	case []RecipientRef:
		b = binary.AppendUvarint(append(b, FormatVersion, resultMoved), uint64(len(r)))
		for _, ref := range r {
			b = binary.AppendUvarint(append(b, ref.ID[:]...), uint64(ref.Number))
		}
		return b
	}
	panic(fmt.Sprintf("queue: %T is no result of a command", result))
}

// ParseResult reads a result of a group whose queue this member does not have.
func ParseResult(b []byte) (result any, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	switch d.Octet() {
	case resultNone:
	case resultAccept:
		result = AcceptResult{d.Bit()}
	case resultSettle:
		result = SettleResult{d.Bit()}
	case resultSeal:
		result = SealResult{d.Bit()}
	case resultEpoch:
		result = EpochResult{d.Uvarint(), d.Millis()}
	case resultSuspend:
		result = SuspendResult{d.Uvarint(), d.Uvarint()}
	case resultOffer:
		result = OfferResult{d.Uvarint()}
	case resultLetGo:
		result = LetGoResult{d.Bit()}
	case resultTake:
		result = TakeResult{d.Bit()}
	case resultFinish:
		result = FinishResult{d.Bit()}
	case resultMoved:
		var refs []RecipientRef
		for n := d.Count(IDLen + 1); n > 0 && !d.Failed(); n-- {
			refs = append(refs, RecipientRef{d.id(), uint32(d.Below(CountsNumber))})
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
