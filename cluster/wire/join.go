package wire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/postroad/postroad/cluster/token"
)

// JoinRequest is what a new node says about itself. In JSON it has at most 1 MiB.
type JoinRequest struct {
	Name, Advertise, Version string
	Protocol                 int
	Incarnation              uint64
	CSR                      []byte // PEM, of NewRequest
	AsksStanding             bool   `json:",omitempty"` // nothing else is asked: RequestStanding
	// With is of the token that the node has shown. The port that answers fills it in.
	With token.Verifier `json:"-"`
}

// JoinReply makes a new node a member. In JSON it has at most 1 MiB.
type JoinReply struct {
	Cluster  string
	Member   uint16
	CA, Cert []byte            // PEM
	Members  map[uint16]string // the addresses of all
	Groups   []uint64
	// Instead is the member with that name whose place this one takes: it had joined, and never
	// ran; 0: none, or the program is of a version before.
	Instead uint16 `json:",omitempty"`
	// Known are the members with their keys: whom the node may believe until its state tells.
	Known []KnownMember `json:",omitempty"`
}

// KnownMember is who holds a member's number: its disk and its key (Credentials.PublicKey).
type KnownMember struct {
	ID          uint16 `json:"id"`
	Incarnation uint64 `json:"incarnation"`
	Key         string `json:"key,omitempty"`
}

// ErrToken: the other side does not know the token. Nothing was told to it.
var ErrToken = errors.New(
	"the token is not valid there (mistyped, expired, or of another cluster), or no joins are " +
		"taken there now")

// ErrShortToken: what was given cannot be a token. Nobody was asked.
var ErrShortToken = fmt.Errorf(
	"a token has at least %d characters; `postroad cluster token` makes one",
	minToken,
)

// minToken is the least length of a token, in octets. Who answers at the address in the cluster's
// place gets a proof, on which short tokens could be tried.
const minToken = 16

// NewToken makes a join token: "pr1-" and 160 random bits.
func NewToken() string {
	var b [20]byte
	rand.Read(b[:]) // never fails
	return "pr1-" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// RequestJoin asks the member at address to let this node into its cluster, and verifies the
// certificate that it gets. It is safe to repeat: for the same name and incarnation the cluster
// gives the same number. dial nil: a net.Dialer's. errors.Is(err, ErrToken): the token is wrong;
// ErrJoinDenied: the token is right, the cluster said no; ErrNotNow: it could not tell.
func RequestJoin(
	ctx context.Context, address, secret string, r JoinRequest, dial DialFunc,
) (JoinReply, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime+joinTime)
	defer cancel()
	reply, err := requestJoin(ctx, address, secret, r, dial)
	if err != nil {
		return JoinReply{}, fmt.Errorf("join at %s: %w", address, orEnded(ctx, err))
	}
	return reply, nil
}

func requestJoin(
	ctx context.Context, address, secret string, r JoinRequest, dial DialFunc,
) (reply JoinReply, err error) {
	k, body, err := converse(ctx, address, secret, r, dial)
	switch {
	case err != nil:
		return reply, err
	case k.refuses():
		return reply, refusal(k, body)
	}
	return parseReply(k, body, r)
}

// converse proves that both ends know the token, sends a request and returns the answer.
func converse(
	ctx context.Context, address, secret string, r JoinRequest, dial DialFunc,
) (k kind, body []byte, err error) {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	if secret = strings.TrimSpace(secret); len(secret) < minToken {
		return 0, nil, ErrShortToken
	}
	request, err := json.Marshal(r)
	if err != nil {
		return 0, nil, err
	}
	if len(request) > maxJoin {
		return 0, nil, fmt.Errorf("the request has %d octets, at most %d are allowed", len(request),
			maxJoin)
	}
	raw, err := dial(ctx, "tcp", address)
	if err != nil {
		return 0, nil, err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	// Whose certificate it is cannot be known yet. The proofs take the place of that.
	c := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocolTokens, protocol},
		SessionTicketsDisabled: true, InsecureSkipVerify: true,
	})
	if err := proveAsClient(ctx, c, secret); err != nil {
		return 0, nil, err
	}
	if err := writeFrame(c, ask, request); err != nil {
		return 0, nil, err
	}
	if k, body, err = readFrame(c, maxJoin); err != nil {
		return 0, nil, fmt.Errorf("no answer: %w", err)
	}
	return k, body, nil
}

// proveAsClient shakes hands, proves that this node knows the token, and returns nil if the other
// side did too.
func proveAsClient(ctx context.Context, c *tls.Conn, secret string) error {
	if err := c.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return err
	}
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	value, err := exported(c)
	if err != nil {
		return err
	}
	proof, answers := token.Prove(secret, value), token.Answers
	if c.ConnectionState().NegotiatedProtocol != protocolTokens { // a program of a version before
		proof, answers = prove(secret, roleClient, value), answersAsBefore
	}
	if _, err := c.Write(append(preface{purpose: forJoin}.append(nil), proof...)); err != nil {
		return err
	}
	got := make([]byte, proofSize)
	switch _, err := io.ReadFull(c, got); {
	case errors.Is(err, io.EOF):
		return ErrToken
	case err != nil:
		return err
	case !answers(got, secret, value):
		return ErrToken
	}
	return c.SetDeadline(time.Now().Add(joinTime))
}

// parseReply reads a JoinReply and verifies that it has what this node asked for.
func parseReply(k kind, body []byte, r JoinRequest) (reply JoinReply, err error) {
	if k != yes {
		return reply, errors.New("the answer is not understood")
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return JoinReply{}, fmt.Errorf("the answer is not understood: %w", err)
	}
	if err := reply.check(r); err != nil {
		return JoinReply{}, fmt.Errorf("the answer is wrong: %w", err)
	}
	return reply, nil
}
