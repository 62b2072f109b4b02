package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// dial connects with a member for a purpose. It takes at most ten seconds.
func (p *Port) dial(ctx context.Context, member uint16, pre preface) (net.Conn, error) {
	if !p.begin() {
		return nil, errClosed
	}
	defer p.work.Done()
	address, ok := p.opts.Address(member)
	if !ok {
		return nil, fmt.Errorf("the address of member %d is not known", member)
	}
	if err := p.refused.held(member, address, pre, time.Now()); err != nil {
		return nil, fmt.Errorf("connect to member %d at %s: %w", member, address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.opts.handshakeTime)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	c, err := p.dialAt(ctx, member, address, pre)
	p.refused.note(member, address, pre, err, time.Now())
	if err != nil {
		return nil, fmt.Errorf("connect to member %d at %s: %w", member, address, orEnded(ctx, err))
	}
	return c, nil
}

// Who returns which member of this cluster answers at an address; an error: none does. It shows no
// certificate and asks for nothing.
func (p *Port) Who(ctx context.Context, address string) (id Identity, err error) {
	if !p.begin() {
		return id, errClosed
	}
	defer p.work.Done()
	ctx, cancel := context.WithTimeout(ctx, p.opts.handshakeTime)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	raw, err := p.opts.Dial(ctx, "tcp", address)
	if err != nil {
		return id, err
	}
	defer raw.Close()
	config := p.common()
	config.Certificates, config.InsecureSkipVerify = nil, true // identify verifies
	t := tls.Client(raw, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return id, err
	}
	defer t.Close()
	return p.identify(t.ConnectionState(), x509.ExtKeyUsageServerAuth)
}

// orEnded adds that ctx has ended to an error which that caused.
func orEnded(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}

func (p *Port) dialAt(
	ctx context.Context, member uint16, address string, pre preface,
) (net.Conn, error) {
	raw, err := p.opts.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	keepAlive(raw)
	cut := context.AfterFunc(ctx, func() { raw.Close() })
	c, err := p.introduce(ctx, tls.Client(&coalesced{Conn: raw}, p.outboundConfig(member)), pre)
	if err != nil {
		cut()
		raw.Close()
		return nil, err
	}
	if !cut() {
		c.Close()
		return nil, ctx.Err()
	}
	return c, nil
}

// introduce does what precedes the use of an outbound connection.
func (p *Port) introduce(ctx context.Context, t *tls.Conn, pre preface) (*conn, error) {
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	peer, err := p.identify(t.ConnectionState(), x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	c, err := p.admit(t, peer)
	if err != nil {
		return nil, err
	}
	p.strangers.learn(t.NetConn())
	if err := askFor(c, pre); err != nil {
		p.forget(c)
		return nil, err
	}
	return c, nil
}

// askFor sends the preface and reads the answer.
func askFor(c net.Conn, pre preface) error {
	if _, err := c.Write(pre.append(nil)); err != nil {
		return err
	}
	k, words, err := readFrame(c, maxWords)
	switch {
	case err != nil:
		return fmt.Errorf("no answer: %w", err)
	case k.refuses():
		return refusal(k, words)
	case k != yes || len(words) > 0:
		return errors.New("the answer is not understood")
	}
	return nil
}

// DialMember connects with the group's stream on another member. timeout 0: ten seconds, which is
// also the most.
func (s *Stream) DialMember(member uint16, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		timeout = handshakeTime
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.port.dial(ctx, member, preface{forRaft, s.group})
}
