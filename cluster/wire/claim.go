package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// protocolClaim is the ALPN of a connection on which a member of one cluster tells a node of
// another that it is listed there. Programs that do not know it refuse it in the handshake.
const protocolClaim = "postroad-claim/1"

// ErrForeign: who answers at a member's address is no member of this cluster.
var ErrForeign = errors.New("the certificate is not of this cluster")

// Claim is what a member of another cluster says: the node at Address is Member there.
type Claim struct {
	// as its certificate names it, which no authority that is known here vouches for
	Teller  Identity `json:"-"`
	Member  uint16
	Address string
}

// Tell tells the node at a member's address, which has shown to be of another cluster, that it is
// listed as that member here. nil: it believes it, and ends. Its words say why not.
func (p *Port) Tell(ctx context.Context, member uint16) error {
	if !p.begin() {
		return errClosed
	}
	defer p.work.Done()
	address, ok := p.opts.Address(member)
	if !ok {
		return fmt.Errorf("the address of member %d is not known", member)
	}
	ctx, cancel := context.WithTimeout(ctx, p.opts.handshakeTime)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	raw, err := p.opts.Dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	return orEnded(ctx, p.claim(ctx, raw, Claim{Member: member, Address: address}))
}

func (p *Port) claim(ctx context.Context, raw net.Conn, c Claim) error {
	config := p.common()
	config.NextProtos, config.InsecureSkipVerify = []string{
		protocolClaim,
	}, true // that it is a stranger is what this is about
	t := tls.Client(raw, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := writeFrame(t, ask, body); err != nil {
		return err
	}
	k, words, err := readFrame(t, maxWords)
	switch {
	case err != nil:
		return fmt.Errorf("no answer: %w", err)
	case k.refuses():
		return refusal(k, words)
	}
	return nil
}

// hear takes a claim. By the handshake the teller has the key of its certificate, and is where it
// seems to be; the rest is Options.Claimed's to judge.
func (p *Port) hear(c *tls.Conn) error {
	certs := c.ConnectionState().PeerCertificates
	if len(certs) != 1 || len(certs[0].URIs) != 1 {
		return errors.New("a claim by nobody")
	}
	teller, err := ParseIdentity(certs[0].URIs[0].String())
	if err != nil {
		return fmt.Errorf("a claim: %w", err)
	}
	k, body, err := readFrame(c, maxWords)
	if err != nil {
		return err
	}
	claim := Claim{Teller: teller}
	if err := json.Unmarshal(body, &claim); err != nil || k != ask {
		return errors.New("a claim that is not understood")
	}
	if err := p.judge(claim); err != nil {
		writeNo(c, err)
		return fmt.Errorf(
			"%v says that this node is member %d there: %w",
			teller,
			claim.Member,
			err,
		)
	}
	return writeFrame(c, yes, nil)
}

var errNotClaimed = errors.New("this node is of its own cluster")

func (p *Port) judge(c Claim) error {
	if p.opts.Claimed == nil || c.Teller.Cluster == p.opts.Self.Cluster {
		return errNotClaimed
	}
	return p.opts.Claimed(c)
}

// serveClaim is the whole of such a connection, after the handshake.
func (p *Port) serveClaim(raw net.Conn, c *tls.Conn) error {
	defer raw.Close()
	if err := c.SetDeadline(time.Now().Add(p.opts.handshakeTime)); err != nil {
		return err
	}
	return p.hear(c)
}

// foreign marks the error of a certificate that another authority has signed.
func foreign(err error) error {
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return fmt.Errorf("%s: %w", ErrForeign, err)
}
