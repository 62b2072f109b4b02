package codec

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

func TestReadsWhatWasAppended(t *testing.T) {
	b := append([]byte(nil), 7, 0, 0, 0, 0, 0, 0, 1, 2)
	b = binary.AppendUvarint(b, 300)
	b = append(b, Bit(true), Bit(false))
	now := time.UnixMilli(1_700_000_000_123)
	b = binary.AppendUvarint(b, uint64(ToMillis(now)))
	b = AppendBytes(b, "text")
	b = AppendBytes(b, []byte("octets"))
	b = append(b, "rest"...)
	for name, d := range map[string]Decoder{"plain": New(b), "text": NewText(b)} {
		if o, u, v := d.Octet(), d.Uint64(), d.Uint32(); o != 7 || u != 258 || v != 300 {
			t.Errorf("%s: numbers %d %d %d", name, o, u, v)
		}
		if !d.Bit() || d.Bit() {
			t.Errorf("%s: bits", name)
		}
		if at := FromMillis(d.Millis()); !at.Equal(now) {
			t.Errorf("%s: time %v", name, at)
		}
		from := d.Pos()
		if s, p := d.String(), d.Bytes(); s != "text" || string(p) != "octets" {
			t.Errorf("%s: %q %q", name, s, p)
		}
		if raw := d.Since(from); len(raw) != 12 {
			t.Errorf("%s: %d octets", name, len(raw))
		}
		if d.OK() || d.Left() != 4 || string(d.Rest()) != "rest" || !d.OK() {
			t.Errorf("%s: the rest", name)
		}
	}
}

// After a fault nothing is read any more, however the decoder is used.
func TestFaultsStay(t *testing.T) {
	long := bytes.Repeat([]byte{0xff}, 11) // no varint
	for name, fault := range map[string]func(d *Decoder){
		"octet":       func(d *Decoder) { d.Rest(); d.Octet() },
		"fixed":       func(d *Decoder) { d.Take(4); d.Uint64() },
		"negative":    func(d *Decoder) { d.Take(-1) },
		"varint":      func(d *Decoder) { d.Uvarint() },
		"limit":       func(d *Decoder) { d.Take(10); d.Below(2) },
		"32 bits":     func(d *Decoder) { d.Uint32() },
		"time":        func(d *Decoder) { d.Millis() },
		"count":       func(d *Decoder) { d.Count(1) },
		"string":      func(d *Decoder) { _ = d.String() },
		"caller says": (*Decoder).Fail,
	} {
		d := NewText(long)
		fault(&d)
		if !d.Failed() || d.OK() {
			t.Errorf("%s: no fault", name)
		}
		if d.Octet() != 0 || d.Uint64() != 0 || d.Uvarint() != 0 || d.Bit() || d.Count(1) != 0 ||
			d.Bytes() != nil || d.String() != "" || d.Rest() != nil || d.Since(0) != nil {
			t.Errorf("%s: something is read after it", name)
		}
	}
}

func TestZeroTime(t *testing.T) {
	if ToMillis(time.Time{}) != 0 || !FromMillis(0).IsZero() {
		t.Error("the zero time is not 0")
	}
	if ToMillis(time.Unix(-5, 0)) != 0 {
		t.Error("a time before 1970 is not 0")
	}
}
