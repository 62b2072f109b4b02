package node

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/postroad/postroad/cluster/wire"
)

// TestForgedCertificate: somebody who was a member, and has kept the authority's key, makes
// certificates with it: for a member's number, and for one that was never given. Neither is let in.
func TestForgedCertificate(t *testing.T) {
	b := startBoxNodes(t, 2)
	n := b.all[0]
	b.await("the keys of all members", func() bool {
		for _, m := range n.control.Members() {
			if m.Key == "" {
				return false
			}
		}
		return true
	})
	ca, caKey := n.control.Authority()
	mx1, _ := n.control.Member(1)
	mx2, _ := n.control.Member(2)
	get := func(member uint16, incarnation uint64, creds *wire.Credentials) error {
		id := wire.Identity{Cluster: n.self.Cluster, Member: member, Incarnation: incarnation}
		if creds == nil {
			csr, key, err := wire.NewRequest()
			b.ok(err)
			cert, err := wire.Sign(ca, caKey, csr, id)
			b.ok(err)
			creds = &wire.Credentials{CA: ca, Cert: cert, Key: key}
		}
		port, err := wire.New(wire.Options{
			Credentials: *creds, Self: id, Logf: t.Logf,
			Address: func(uint16) (string, bool) { return mx1.Address, true },
		})
		b.ok(err)
		defer port.Close()
		r, err := port.Client().Get("http://1/cluster/1/state")
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusForbidden {
				err = errors.New("forbidden")
			}
		}
		return err
	}
	own, err := wire.LoadCredentials(clusterDir(b.all[1].cfg()))
	b.ok(err)
	b.ok(get(2, mx2.Incarnation, &own)) // the test reaches what a member reaches
	if err := get(2, mx2.Incarnation, nil); err == nil ||
		!strings.Contains(err.Error(), "known by another key") {
		t.Errorf("in the name of mx2: %v", err)
	}
	if err := get(9, 99, nil); err == nil || !strings.Contains(err.Error(), "not known here") {
		t.Errorf("as member 9: %v", err)
	}
}
