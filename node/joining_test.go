package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
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
		err := Join(t.Context(), "", cfg, address, token)
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
