package control

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster/token"
)

func begin(tokens []Token) (all []string) {
	for _, t := range tokens {
		if t.Secret != "" {
			t.Begins = begins(t.Secret)
		}
		all = append(all, t.Begins)
	}
	return all
}

// TestTokenIsForSoMany: a token lets in one node, which may repeat its join, or as many as its
// maker said.
func TestTokenIsForSoMany(t *testing.T) {
	b := newBench(t)
	b.protocol = TokensProtocol
	b.members("mx1")
	join := func(secret, name string) error {
		_, err := b.Join(ctx, b.node(name), token.Of(secret))
		return err
	}
	one, err := b.AddToken(ctx, time.Hour, 1)
	must(t, err)
	two, err := b.AddToken(ctx, time.Hour, 2)
	must(t, err)
	filed := "a-secret-of-a-file"
	must(t, b.AddSecret(ctx, filed, 0))
	first := b.node("mx2")
	for range 2 { // its answer was lost
		m, err := b.Join(ctx, first, token.Of(one))
		must(t, err)
		if m.ID != 2 {
			t.Fatalf("member %d", m.ID)
		}
	}
	refused(t, join(one, "mx3"), ErrInvalid, "has let in as many")
	refused(t, b.State.Spent(token.Of(one), 99), ErrInvalid, "make another")
	if err := b.State.Spent(token.Of(one), first.Incarnation); err != nil {
		t.Errorf("the node that it let in: %v", err)
	}
	if !b.State.Knows(one, b.now) || len(b.State.TokenList(b.now)) != 2 {
		t.Error("a spent token is listed, or not known to the node that repeats its join")
	}
	must(t, join(two, "mx3"))
	must(t, join(two, "mx4"))
	refused(t, join(two, "mx5"), ErrInvalid, "has let in as many")
	for _, name := range []string{"mx5", "mx6", "mx7"} {
		must(t, join(filed, name))
	}
	must(t, b.DropToken(ctx, filed))
	refused(t, join(filed, "mx8"), ErrInvalid, "has ended meanwhile")
	_, err = b.AddToken(ctx, time.Hour, MaxUses+1)
	refused(t, err, ErrInvalid, "1 to 256")
}

// TestSpentTokensGiveWay: they are kept for joins that are repeated, and hinder no new token.
func TestSpentTokensGiveWay(t *testing.T) {
	b := newBench(t)
	b.protocol = TokensProtocol
	b.members("mx1")
	spent, err := b.AddToken(ctx, time.Hour, 1)
	must(t, err)
	_, err = b.Join(ctx, b.node("mx2"), token.Of(spent))
	must(t, err)
	for range maxTokens {
		_, err := b.AddToken(ctx, time.Hour, 0)
		must(t, err)
	}
	_, err = b.AddToken(ctx, time.Hour, 0)
	refused(t, err, ErrFull, "join tokens are valid already")
}

// TestTokensAreHidden: what members of a version before have recorded is kept as it is until all
// members know better, and not in the rows after that.
func TestTokensAreHidden(t *testing.T) {
	b := newBench(t)
	b.protocol = TokensProtocol - 1
	b.members("mx1", "mx2")
	secret, err := b.AddToken(ctx, time.Hour, 1)
	must(t, err)
	_, err = b.AddToken(ctx, time.Hour, 2)
	refused(t, err, ErrInvalid, "upgrade")
	hidden := func() bool {
		row, _ := b.store.Get(keyTokens)
		return !bytes.Contains(row, []byte(secret))
	}
	// Older members write the same rows: they have these fields and no others.
	expires, _ := b.now.Add(time.Hour).MarshalText()
	row, _ := b.store.Get(keyTokens)
	if want := `[{"secret":"` + secret + `","expires":"` + string(expires) + `"}]`; string(
		row[1:]) != want {
		t.Errorf("the row of tokens beside an older member is %s, want %s", row[1:], want)
	}
	if got := b.State.Secrets(b.now); len(got) != 1 || got[0] != secret || hidden() {
		t.Errorf("before: %v", got)
	}
	must(t, b.SetVersion(ctx, 1, "now", TokensProtocol))
	must(t, b.SetVersion(ctx, 2, "now", TokensProtocol))
	if got := b.State.Secrets(b.now); len(got) != 0 || !hidden() || !b.State.Knows(secret, b.now) {
		t.Errorf("after: %v, hidden %v", got, hidden())
	}
	if got := strings.Join(begin(b.State.TokenList(b.now)), " "); got != secret[:8] {
		t.Errorf("listed: %s", got)
	}
}
