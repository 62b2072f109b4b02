package wire

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postroad/postroad/cluster/token"
)

const (
	proofSize  = sha256.Size
	maxSecrets = 256 // tokens that are tried

	roleClient = "client"
	roleServer = "server"
)

// exported returns 32 octets that only the two ends of this handshake know (RFC 8446 7.5).
func exported(c *tls.Conn) ([]byte, error) {
	state := c.ConnectionState()
	return state.ExportKeyingMaterial("EXPORTER-postroad-join", nil, 32)
}

func prove(secret, role string, value []byte) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(role))
	m.Write(value)
	return m.Sum(nil)
}

// answersAsBefore is token.Answers of a program that keeps tokens as they are.
func answersAsBefore(answer []byte, secret string, value []byte) bool {
	return proves(answer, secret, roleServer, value)
}

func proves(proof []byte, secret, role string, value []byte) bool {
	return hmac.Equal(proof, prove(secret, role, value))
}

// shown is the token of a proof, and the answer to it.
type shown struct {
	with   token.Verifier
	answer []byte
}

// match returns the token that the proof was made with. It takes the same time whichever that is.
func (p *Port) match(asBefore bool, proof, value []byte) (found shown, ok bool) {
	secrets := p.opts.Secrets()
	for _, s := range secrets[:min(len(secrets), maxSecrets)] {
		if s = strings.TrimSpace(s); len(s) < minToken {
			continue
		}
		if asBefore && proves(proof, s, roleClient, value) {
			found, ok = shown{token.Of(s), prove(s, roleServer, value)}, true
		}
		if v := token.Of(s); !asBefore && v.Checks(proof, value) {
			found, ok = shown{v, v.Answer(value)}, true
		}
	}
	if asBefore {
		return found, ok
	}
	verifiers := p.opts.Verifiers()
	for _, v := range verifiers[:min(len(verifiers), maxSecrets)] {
		if v.Checks(proof, value) {
			found, ok = shown{v, v.Answer(value)}, true
		}
	}
	return found, ok
}

// await returns the token that the proof was made with. One that is not known may be so new that
// only the other members have it yet.
func (p *Port) await(asBefore bool, proof, value []byte) (found shown, ok bool) {
	const pause = 50 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		found, ok = p.match(asBefore, proof, value)
		if ok || waited >= p.opts.tokenTime {
			return found, ok
		}
		select {
		case <-time.After(pause):
		case <-p.ctx.Done():
			return found, false
		}
	}
}

// serveJoin lets a new node in, if it knows a token.
func (p *Port) serveJoin(c *tls.Conn, place *place) error {
	value, err := exported(c)
	if err != nil {
		return err
	}
	proof := make([]byte, proofSize)
	if _, err := io.ReadFull(c, proof); err != nil {
		return err
	}
	if p.opts.Join == nil {
		return errors.New("a node wants to join, and none can here")
	}
	found, ok := p.await(c.ConnectionState().NegotiatedProtocol == protocol, proof, value)
	if !ok {
		return errors.New(
			"a node wants to join with a token that is not valid: `postroad cluster token` " +
				"makes a new one")
	}
	p.strangers.leave(place)
	if _, err := c.Write(found.answer); err != nil {
		return err
	}
	return p.answerJoin(c, found.with)
}

// answerJoin has both proofs behind it.
func (p *Port) answerJoin(c *tls.Conn, with token.Verifier) error {
	ctx, cancel := context.WithTimeout(p.ctx, joinTime)
	defer cancel()
	if err := c.SetDeadline(time.Now().Add(joinTime)); err != nil {
		return err
	}
	k, body, err := readFrame(c, maxJoin)
	if err != nil {
		return err
	}
	reply, err := p.join(ctx, k, body, with)
	if err == nil && len(reply) > maxJoin {
		err = fmt.Errorf("the reply has %d octets, at most %d are allowed", len(reply), maxJoin)
	}
	if err != nil {
		writeNo(c, err)
		return fmt.Errorf("join: %w", err)
	}
	return writeFrame(c, yes, reply)
}

func (p *Port) join(
	ctx context.Context, k kind, body []byte, with token.Verifier,
) ([]byte, error) {
	select {
	case p.joins <- struct{}{}:
		defer func() { <-p.joins }()
	default:
		return nil, fmt.Errorf("%w: %d nodes are joining already", ErrNotNow, maxJoins)
	}
	r, err := parseRequestJoin(k, body)
	if err != nil {
		return nil, err
	}
	r.With = with
	if err := p.opts.Refuses(r); err != nil {
		return nil, err
	}
	if r.AsksStanding {
		return json.Marshal(p.opts.Standing())
	}
	reply, err := p.opts.Join(ctx, r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(reply)
}

func parseRequestJoin(k kind, body []byte) (r JoinRequest, err error) {
	if k != ask {
		return r, errors.New("the request is not understood")
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("the request is not understood: %w", err)
	}
	if r.AsksStanding {
		return r, nil
	}
	_, err = parseRequest(r.CSR)
	return r, err
}

// check: the certificate is this cluster's and this node's, for the key that the node has.
func (reply JoinReply) check(r JoinRequest) error {
	authority, err := parseCert(reply.CA)
	if err != nil {
		return err
	}
	cert, err := parseCert(reply.Cert)
	if err != nil {
		return err
	}
	request, err := parseRequest(r.CSR)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	id, err := identify([]*x509.Certificate{cert}, roots, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	if want := (Identity{reply.Cluster, reply.Member, r.Incarnation}); id != want ||
		!sameKey(cert, request) {
		return fmt.Errorf("it has the certificate of %v, not of this node", id)
	}
	return nil
}
