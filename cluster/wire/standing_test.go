package wire

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestStanding: who knows the token learns whether a node knows a cluster, and others nothing.
func TestStanding(t *testing.T) {
	d := newDoor(t)
	l := listenTCP(t)
	waiting, err := Wait(l, func() []string { return []string{d.token} }, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	ask := func(address, token string) (Standing, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return RequestStanding(ctx, address, token, 1, nil)
	}
	if s, err := ask(d.where(), d.token); err != nil || s.Cluster != d.cluster {
		t.Errorf("a member: %+v, %v", s, err)
	}
	if s, err := ask(l.Addr().String(), d.token); err != nil || s.Cluster != "" {
		t.Errorf("one that waits: %+v, %v", s, err)
	}
	for _, at := range []string{d.where(), l.Addr().String()} {
		if s, err := ask(at, NewToken()); !errors.Is(err, ErrToken) {
			t.Errorf("with another token: %+v, %v", s, err)
		}
	}
	if _, err := d.knock(t, l.Addr().String(), d.token); !errors.Is(err, ErrNotNow) ||
		!strings.Contains(err.Error(), "waits for a cluster") {
		t.Errorf("joining at one that waits: %v", err)
	}
	if n := d.asked.Load(); n != 0 {
		t.Errorf("Join was asked %d times", n)
	}
}

// TestStandingOfOlder: a member whose program does not know the question takes it for a join that
// asks for no certificate, and so has a cluster.
func TestStandingOfOlder(t *testing.T) {
	// all that an older program reads of the question
	if _, err := parseRequestJoin(ask, []byte(`{"CSR":""}`)); err == nil {
		t.Error("an older program lets it in")
	}
	if s, err := readStanding(no,
		[]byte("not a PEM file with one CERTIFICATE REQUEST")); err != nil ||
		s.Cluster == "" {
		t.Errorf("an older member: %+v, %v", s, err)
	}
	if _, err := readStanding(later, nil); !errors.Is(err, ErrNotNow) {
		t.Errorf("a member that is busy: %v", err)
	}
}

// TestTokenArrives: a token that a member does not know yet is waited for.
func TestTokenArrives(t *testing.T) {
	var known atomic.Bool
	asked := make(chan struct{}, 1)
	d := newDoor(t, func(o *Options) {
		o.tokenTime = time.Minute
		secrets := o.Secrets
		o.Secrets = func() []string {
			select {
			case asked <- struct{}{}:
			default:
			}
			if !known.Load() {
				return nil
			}
			return secrets()
		}
	})
	go func() { <-asked; known.Store(true) }()
	if r, err := d.knock(t, d.where(), d.token); err != nil || r.Member != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestClaim: a node that answers at a member's address with a certificate of another cluster is
// told so, and judges it.
func TestClaim(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	other.cluster = "other"
	other.authority = newAuthority(t, "other")
	var heard atomic.Pointer[Claim]
	believes := func(o *Options) { o.Claimed = func(c Claim) error { heard.Store(&c); return nil } }
	member := w.port(1)
	for name, c := range map[string]struct {
		change func(*Options)
		words  string
	}{
		"one that believes": {believes, ""},
		"one that does not": {func(o *Options) {
			o.Claimed = func(Claim) error { return errors.New("no, I am another's") }
		}, "refused: no, I am another's"},
		"one that hears nobody": {func(*Options) {}, "its own cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			other.port(1, c.change)
			address, _ := other.address(1)
			w.set(2, address)
			if _, err := member.Stream(1).DialMember(2, patience); !errors.Is(err, ErrForeign) {
				t.Errorf("dialling: %v", err)
			}
			err := member.Tell(t.Context(), 2)
			if c.words == "" {
				got := heard.Load()
				if err != nil || got == nil ||
					*got != (Claim{Teller: w.id(1), Member: 2, Address: address}) {
					t.Errorf("%+v, %v", got, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v; want %q", err, c.words)
			}
		})
	}
	// A member of the same cluster is claimed by nobody.
	w.port(3, believes)
	heard.Store(nil)
	if err := member.Tell(t.Context(), 3); !errors.Is(err, ErrJoinDenied) || heard.Load() != nil {
		t.Errorf("a member of the own cluster: %v, %+v", err, heard.Load())
	}
}
