package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/operate/admin/api"
)

// takenPort is a member of a cluster in which the name of whoever joins is taken.
func takenPort(t *testing.T, token string, asked *[]uint64) (address string) {
	t.Helper()
	id := wire.Identity{Cluster: "c", Member: 1, Incarnation: 1}
	caCert, caKey, err := wire.NewAuthority(id.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	csr, key, err := wire.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := wire.Sign(caCert, caKey, csr, id)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port, err := wire.New(wire.Options{
		Listener: l, Credentials: wire.Credentials{CA: caCert, Cert: cert, Key: key}, Self: id,
		Logf:    t.Logf,
		Secrets: func() []string { return []string{token} },
		Join: func(_ context.Context, r wire.JoinRequest) (wire.JoinReply, error) {
			*asked = append(*asked, r.Incarnation)
			return wire.JoinReply{}, fmt.Errorf("the name %s is taken", r.Name)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { port.Close() })
	return l.Addr().String()
}

// TestRefusedJoinIsRemembered: whose join was refused does not begin a cluster of its own, and
// joins as another the next time.
func TestRefusedJoinIsRemembered(t *testing.T) {
	cfg := new(config.Config)
	cfg.Node.Name, cfg.Node.DataDir = "mx1", filepath.Join(t.TempDir(), "data")
	token := wire.NewToken()
	var asked []uint64
	address := takenPort(t, token, &asked)
	for range 2 {
		err := Join(t.Context(), "", cfg, address, token, t.Logf)
		if !errors.Is(err, wire.ErrJoinDenied) || !strings.Contains(err.Error(), "mx1 is taken") {
			t.Fatalf("joining: %v", err)
		}
	}
	if len(asked) != 2 || asked[0] == asked[1] {
		t.Errorf("it asked as %v", asked)
	}
	n := &node{}
	n.live.Store(cfg)
	if err := n.joinByItself(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := n.startStore(t.Context())
	var said *api.Error
	if !errors.As(err, &said) || said.Exit != api.ExitConfig ||
		!strings.Contains(said.Message, "repeat it; or remove ") {
		t.Errorf("starting: %v", err)
	}
}

// TestJoinTwiceByOneName: who joins by the name of one that never ran is told so.
func TestJoinTwiceByOneName(t *testing.T) {
	b := startBoxNodes(t, 1)
	n := b.all[0]
	join := func(incarnation uint64) wire.JoinReply {
		csr, _, err := wire.NewRequest()
		b.ok(err)
		r, err := n.admitNode(t.Context(), wire.JoinRequest{
			Name: "twin", Advertise: fmt.Sprintf("192.0.2.%d:7025", incarnation),
			Version: version.Version, Protocol: control.Protocol, Incarnation: incarnation,
			CSR: csr,
		})
		b.ok(err)
		return r
	}
	first, again, second := join(7), join(7), join(8)
	if first.Instead != 0 || again.Instead != 0 || again.Member != first.Member ||
		second.Instead != first.Member || second.Member == first.Member {
		t.Errorf("%d, %d instead of %d; %d instead of %d", first.Member, again.Member,
			again.Instead, second.Member, second.Instead)
	}
}
