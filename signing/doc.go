// Package signing gives messages the DKIM signatures of their authors' domains, on their way in.
//
// A Draft reads a message while it arrives. When it is there, a Signer decides by the From field
// and by who sent it whether a domain of this cluster signs, and with which keys. The work is done
// by a bounded pool, once a message: the signatures become a part in front of it, so that all
// copies, attempts and later owners send the same octets.
package signing
