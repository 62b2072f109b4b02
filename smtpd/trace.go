package smtpd

import (
	"crypto/tls"
	"net/netip"
)

// idPlace is where the queue, which gives the ID, writes it.
const idPlace = "0000000000000000"

// appendTrace appends the Received field (RFC 5321 4.4) that goes before the content, with a place
// for the queue's ID. A recipient is named only when it is the only one, so that no recipient
// learns of another.
func (s *Session) appendTrace(b []byte) (trace []byte, idAt int) {
	c, env := &s.client, s.tx.env
	b = append(append(b, "Received: from "...), c.Helo...)
	b = append(b, " ("...)
	b = appendAddressLiteral(b, c.Addr.Addr())
	b = append(append(b, ")\r\n\tby "...), s.l.srv.Hostname...)
	b = append(append(b, " with "...), env.Origin.Protocol...)
	b = append(b, " id "...)
	idAt = len(b)
	b = append(b, idPlace...)
	if len(env.Recipients) == 1 {
		b = append(append(append(b, "\r\n\tfor <"...), env.Recipients[0].Address...), '>')
	}
	if c.TLS != nil { // RFC 8314 4.3
		b = append(append(b, "\r\n\ttls "...), tls.CipherSuiteName(c.TLS.CipherSuite)...)
	}
	b = append(b, ";\r\n\t"...)
	b = s.now.AppendFormat(b, "Mon, 02 Jan 2006 15:04:05 -0700")
	return append(b, '\r', '\n'), idAt
}

// appendAddressLiteral appends an address literal (RFC 5321 4.1.3).
func appendAddressLiteral(b []byte, ip netip.Addr) []byte {
	b = append(b, '[')
	if ip = ip.Unmap(); ip.Is6() {
		b = append(b, "IPv6:"...)
	}
	return append(ip.AppendTo(b), ']')
}
