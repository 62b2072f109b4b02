package machine

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// FormatVersion is the first octet of every row and command. A reader that meets another one stops.
const FormatVersion = 1

// ErrCorrupt is what a decoder returns for a row or command that it cannot read.
var ErrCorrupt = fmt.Errorf("queue: %w", codec.ErrCorrupt)

// Decoder reads an encoding front to back. Callers check for faults once, with done.
type Decoder struct{ codec.Decoder }

// done reports an error unless all was read and all of it was good.
func (d *Decoder) done() error {
	if !d.OK() {
		return ErrCorrupt
	}
	return nil
}

func (d *Decoder) id() (id mail.ID) {
	copy(id[:], d.Take(len(id)))
	return id
}

func (d *Decoder) version() {
	if d.Octet() != FormatVersion {
		d.Fail()
	}
}

func (d *Decoder) addr() (a netip.Addr) {
	if p := d.Bytes(); len(p) > 0 {
		var ok bool
		if a, ok = netip.AddrFromSlice(p); !ok {
			d.Fail()
		}
	}
	return a
}

func (d *Decoder) addrPort() netip.AddrPort {
	a := d.addr()
	return netip.AddrPortFrom(a, uint16(d.Below(1<<16)))
}

func appendAddr(b []byte, a netip.Addr) []byte {
	switch a = a.WithZone(""); { // a zone means nothing on another member
	case a.Is4():
		v := a.As4()
		return codec.AppendBytes(b, v[:])
	case a.Is6():
		v := a.As16()
		return codec.AppendBytes(b, v[:])
	}
	return append(b, 0)
}

func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	return binary.AppendUvarint(appendAddr(b, a.Addr()), uint64(a.Port()))
}

// Bounds of an attempt in a record, in octets, so that a peer's long reply cannot fill the store.
const (
	maxTextLen = 512
	maxNameLen = 255
)

func cut(s string, n int) string { return s[:min(len(s), n)] }

// AppendAttempt writes what an attempt came to; long texts are cut.
func AppendAttempt(b []byte, a *mail.Attempt) []byte {
	b = binary.AppendUvarint(b, uint64(codec.ToMillis(a.At)))
	b = binary.AppendUvarint(b, uint64(min(max(a.Code, 0), 999)))
	b = codec.AppendBytes(b, cut(a.Enhanced, maxNameLen))
	b = codec.AppendBytes(b, cut(a.Text, maxTextLen))
	b = codec.AppendBytes(b, cut(a.Remote, maxNameLen))
	b = appendAddrPort(b, a.RemoteIP)
	b = appendAddr(b, a.LocalIP)
	return codec.AppendBytes(b, cut(a.TLS, maxNameLen))
}

// skipAttempt reads an encoded attempt as bytes; most are only copied from a command to a row.
func (d *Decoder) skipAttempt() (raw []byte, at int64) {
	from := d.Pos()
	at = d.Millis()
	d.Below(1000)
	d.Bytes()
	d.Bytes()
	d.Bytes()
	d.addrPort()
	d.addr()
	d.Bytes()
	if d.Failed() {
		return nil, 0
	}
	return d.Since(from), at
}

func (d *Decoder) attempt() (a mail.Attempt) {
	a.At = codec.FromMillis(d.Millis())
	a.Code = int(d.Below(1000))
	a.Enhanced, a.Text, a.Remote = d.String(), d.String(), d.String()
	a.RemoteIP, a.LocalIP = d.addrPort(), d.addr()
	a.TLS = d.String()
	return a
}
