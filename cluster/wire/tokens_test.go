package wire

import (
	"errors"
	"testing"

	"github.com/postroad/postroad/cluster/token"
)

// TestJoinByVerifier: a member that has no more than what a token can be checked by lets in who has
// it, and hears which it was.
func TestJoinByVerifier(t *testing.T) {
	var d *door
	var asked []token.Verifier
	d = newDoor(t, func(o *Options) {
		o.Secrets = nil
		o.Verifiers = func() []token.Verifier {
			return []token.Verifier{{}, token.Of(NewToken()), token.Of(d.token)}
		}
		o.Refuses = func(r JoinRequest) error {
			asked = append(asked, r.With)
			if r.Incarnation == 6 {
				return errors.New("it was for another")
			}
			return nil
		}
	})
	if _, err := d.knock(t, d.where(), NewToken()); !errors.Is(err, ErrToken) {
		t.Errorf("another token: %v", err)
	}
	r, err := d.knock(t, d.where(), d.token)
	if err != nil || r.Member != 2 || len(asked) != 1 || !asked[0].Equal(token.Of(d.token)) {
		t.Errorf("the token: %+v, %v, with %v", r, err, asked)
	}
	other := func(r *JoinRequest) { r.Incarnation = 6 }
	if _, err := d.knock(t, d.where(), d.token, other); !errors.Is(err, ErrJoinDenied) {
		t.Errorf("a token for another node: %v", err)
	}
	for incarnation, want := range map[uint64]bool{5: true, 6: false} {
		s, err := RequestStanding(t.Context(), d.where(), d.token, incarnation, nil)
		if told := s.Cluster == d.id(1).Cluster; err != nil || told != want {
			t.Errorf("node %d is told of %+v, %v", incarnation, s, err)
		}
	}
	if n := d.asked.Load(); n != 1 {
		t.Errorf("Join was asked %d times, want once", n)
	}
	// A program of a version before proves that it knows what only the token's holders know.
	if heard := d.stranger(t, d.token); len(heard) != 0 {
		t.Errorf("the old exchange, without the token here: %q", heard)
	}
}

// TestJoinAtOlder: a new node joins at a member that knows the old exchange only.
func TestJoinAtOlder(t *testing.T) {
	d := newDoor(t, func(o *Options) { o.inbound = []string{protocol, protocolClaim} })
	if r, err := d.knock(t, d.where(), d.token); err != nil || r.Member != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := d.knock(t, d.where(), NewToken()); !errors.Is(err, ErrToken) {
		t.Errorf("another token: %v", err)
	}
}
