package control

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/cluster/token"
)

// A join token is in the state as what it can be checked by, for the state is on every disk and in
// every backup. It lets in as many nodes as its maker said; a join that is cut off is repeated by
// the same disk, and counts once.

// TokensProtocol is the first protocol in which tokens are kept so. Until all members speak it,
// they are kept as they are, and let in whoever has them.
const TokensProtocol = 7

// Token lets nodes join until it expires.
type Token struct {
	Secret   string         `json:"secret,omitempty"` // before TokensProtocol
	Expires  time.Time      `json:"expires,omitzero"` // zero: never
	Verifier token.Verifier `json:"verifier,omitzero"`
	Begins   string         `json:"begins,omitempty"` // how it begins, for people
	Uses     int            `json:"uses,omitempty"`   // nodes that it lets in; 0: any number
	Used     []uint64       `json:"used,omitempty"`   // the incarnations that it has let in
}

// MaxUses is how many nodes a token can be for that is not for any number.
const MaxUses = MaxMembers

func begins(secret string) string { return secret[:min(8, len(secret)/2)] }

func (t *Token) verifier() token.Verifier {
	if t.Secret != "" {
		return token.Of(t.Secret)
	}
	return t.Verifier
}

// Left is how many more nodes it lets in; -1: any number.
func (t *Token) Left() int {
	if t.Uses == 0 {
		return -1
	}
	return max(0, t.Uses-len(t.Used))
}

func (t *Token) spentFor(incarnation uint64) bool {
	return t.Left() == 0 && !slices.Contains(t.Used, incarnation)
}

// AddToken makes a secret with which that many nodes can join for ttl; uses 0: any number, ttl 0:
// always. In a cluster with members that know no uses it is for any number.
func (e *Editor) AddToken(ctx context.Context, ttl time.Duration, uses int) (string, error) {
	if uses < 0 || uses > MaxUses {
		return "", refuse(Refused, "a token is for 1 to %d nodes, or for any number", MaxUses).Err()
	}
	if uses > 1 {
		if err := e.State.Needs(TokensProtocol, "a token for so many nodes"); err != nil {
			return "", err
		}
	}
	var b [20]byte
	rand.Read(b[:])
	secret := "pr1-" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return secret, e.addSecret(ctx, secret, ttl, uses)
}

// AddSecret makes a given secret a join token for any number of nodes, for ttl; 0: always.
func (e *Editor) AddSecret(ctx context.Context, secret string, ttl time.Duration) error {
	if len(secret) < 16 || len(secret) > 256 {
		return errors.New(
			"a join token has from 16 to 256 octets; `postroad cluster token` makes one")
	}
	return e.addSecret(ctx, secret, ttl, 0)
}

func (e *Editor) addSecret(
	ctx context.Context, secret string, ttl time.Duration, uses int,
) error {
	t := Token{Secret: secret}
	if e.State.MinProtocol() >= TokensProtocol {
		t = Token{Verifier: token.Of(secret), Begins: begins(secret), Uses: uses}
	}
	if ttl > 0 {
		t.Expires = e.Now().UTC().Add(ttl)
	}
	return e.simple(ctx, cmdAddToken, command{Token: &t})
}

// EndTokens makes all join tokens void.
func (e *Editor) EndTokens(ctx context.Context) error {
	for _, t := range valid(e.State.view.Load().tokens, e.Now()) {
		err := e.simple(ctx, cmdDropToken, command{Token: &t})
		if err != nil && !errors.Is(err, ErrUnknown) {
			return err
		}
	}
	return nil
}

// DropToken makes a join token void.
func (e *Editor) DropToken(ctx context.Context, secret string) error {
	t := Token{Secret: secret}
	if e.State.MinProtocol() >= TokensProtocol {
		t = Token{Verifier: token.Of(secret)}
	}
	return e.simple(ctx, cmdDropToken, command{Token: &t})
}

// Secrets returns the tokens that older members have recorded, as they are.
func (s *State) Secrets(now time.Time) (secrets []string) {
	for _, t := range valid(s.view.Load().tokens, now) {
		if t.Secret != "" {
			secrets = append(secrets, t.Secret)
		}
	}
	return secrets
}

// Verifiers returns what the tokens can be checked by with which nodes may join now, those that
// have let in as many as they should among them: one of these may have to repeat its join (Spent).
func (s *State) Verifiers(now time.Time) (all []token.Verifier) {
	for _, t := range valid(s.view.Load().tokens, now) {
		all = append(all, t.verifier())
	}
	return all
}

// Spent says why a token does not let in a node, that it has not let in before, or returns nil.
func (s *State) Spent(v token.Verifier, incarnation uint64) error {
	for i := range s.view.Load().tokens {
		if t := &s.view.Load().tokens[i]; t.verifier().Equal(v) && t.spentFor(incarnation) {
			return t.spent().Err()
		}
	}
	return nil
}

func (t *Token) spent() Result {
	return refuse(Refused,
		"the token %s... was for %d, and has let in as many: make another with `postroad cluster "+
			"token`", t.Begins, t.Uses)
}

// Knows reports whether a token is good now, as far as this member has applied.
func (s *State) Knows(secret string, now time.Time) bool {
	return slices.ContainsFunc(s.Verifiers(now), token.Of(secret).Equal)
}

// TokenList returns the tokens with which other nodes may join now.
func (s *State) TokenList(now time.Time) []Token {
	return slices.DeleteFunc(valid(s.view.Load().tokens, now), func(t Token) bool {
		return t.Left() == 0
	})
}

// valid returns the tokens that have not expired.
func valid(tokens []Token, now time.Time) []Token {
	return slices.DeleteFunc(slices.Clone(tokens), func(t Token) bool {
		return !t.Expires.IsZero() && !now.Before(t.Expires)
	})
}

func (d *draft) addToken(c *command) Result {
	v := c.Token.verifier()
	tokens := slices.DeleteFunc(valid(d.model.tokens, d.at), func(t Token) bool {
		return t.verifier().Equal(v)
	})
	if len(tokens) >= maxTokens {
		tokens = slices.DeleteFunc(tokens, func(t Token) bool { return t.Left() == 0 })
	}
	if len(tokens) >= maxTokens {
		return refuse(Full, "%d join tokens are valid already: wait until one expires", len(tokens))
	}
	d.model.tokens, d.tokens = append(tokens, *c.Token), true
	return Result{}
}

func (d *draft) dropToken(c *command) Result {
	v, tokens := c.Token.verifier(), valid(d.model.tokens, d.at)
	left := slices.DeleteFunc(slices.Clone(tokens), func(t Token) bool {
		return t.verifier().Equal(v)
	})
	if len(left) == len(tokens) {
		return refuse(Unknown, "there is no such join token, or it has expired")
	}
	d.model.tokens, d.tokens = left, true
	return Result{}
}

// useToken counts a new member for the token with which it came. Members that know no uses name
// none.
func (d *draft) useToken(c *command) Result {
	if c.Token == nil {
		return Result{}
	}
	tokens := valid(d.model.tokens, d.at)
	i := slices.IndexFunc(tokens, func(t Token) bool {
		return t.verifier().Equal(c.Token.Verifier)
	})
	switch {
	case i < 0:
		return refuse(Refused, "the token has ended meanwhile")
	case tokens[i].spentFor(c.Node.Incarnation):
		return tokens[i].spent()
	case tokens[i].Uses == 0 || slices.Contains(tokens[i].Used, c.Node.Incarnation):
		return Result{}
	}
	tokens[i].Used = append(slices.Clone(tokens[i].Used), c.Node.Incarnation)
	d.model.tokens, d.tokens = tokens, true
	return Result{}
}

// hideTokens keeps of the tokens of older members what they can be checked by, once all members
// know how.
func (d *draft) hideTokens() {
	if d.counts.Protocol < TokensProtocol || !slices.ContainsFunc(d.model.tokens,
		func(t Token) bool { return t.Secret != "" }) {
		return
	}
	tokens := slices.Clone(d.model.tokens)
	for i := range tokens {
		if t := &tokens[i]; t.Secret != "" {
			t.Begins, t.Verifier, t.Secret = begins(t.Secret), token.Of(t.Secret), ""
		}
	}
	d.model.tokens, d.tokens = tokens, true
}
