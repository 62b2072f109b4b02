package wire

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
)

// Standing is what a node says of itself to one that knows a token.
type Standing struct {
	Cluster string // that it is a member of; "": it knows none, and waits for one
	// Config is the configuration that all nodes of that cluster share, in the words of those who
	// ask and answer; empty: none was pushed, or the program is of a version before.
	Config []byte `json:",omitempty"`
}

// RequestStanding asks the node at address whether it knows a cluster. A program that does not know
// the question is a member's: such a program listens for nothing else. errors.Is(err, ErrToken):
// the other does not know the token, and says nothing. incarnation is that under which this node
// would join.
func RequestStanding(
	ctx context.Context,
	address, secret string,
	incarnation uint64,
	dial DialFunc,
) (s Standing, err error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	k, body, err := converse(ctx, address, secret,
		JoinRequest{AsksStanding: true, Incarnation: incarnation}, dial)
	if err != nil {
		return s, orEnded(ctx, err)
	}
	return readStanding(k, body)
}

func readStanding(k kind, body []byte) (s Standing, err error) {
	switch {
	case k == no:
		return Standing{Cluster: "one of an older program"}, nil
	case k.refuses():
		return s, refusal(k, body)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("the answer is not understood: %w", err)
	}
	return s, nil
}

// errNoMember is what a node answers to a join that waits for a cluster itself.
var errNoMember = fmt.Errorf("%w: this node waits for a cluster, too", ErrNotNow)

// Wait serves l for a node that waits for a cluster: whoever knows one of the secrets is told that
// it knows none. Nobody is a member with it: its certificate is of an authority that ends with it.
// Close the port before l's address is used again.
func Wait(l net.Listener, secrets func() []string, logf func(string, ...any)) (*Port, error) {
	id := Identity{Cluster: "none-" + rand.Text(), Member: 1, Incarnation: 1}
	c, err := newCredentials(id)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return New(Options{
		Listener: l, Credentials: c, Self: id, Secrets: secrets, Logf: logf,
		Admit:    func(Identity, string) error { return errNoMember },
		Standing: func() Standing { return Standing{} },
		Join: func(context.Context, JoinRequest) (JoinReply, error) {
			return JoinReply{}, errNoMember
		},
	})
}

// newCredentials makes an authority and, by it, the credentials of its first member.
func newCredentials(id Identity) (c Credentials, err error) {
	caCert, caKey, err := NewAuthority(id.Cluster)
	if err != nil {
		return c, err
	}
	csr, key, err := NewRequest()
	if err != nil {
		return c, err
	}
	cert, err := Sign(caCert, caKey, csr, id)
	return Credentials{CA: caCert, Cert: cert, Key: key}, err
}
