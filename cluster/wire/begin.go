package wire

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"

	"github.com/postroad/postroad/internal/files"
)

// AuthorityFile is the name of the file with the key of the authority of a cluster that a node has
// begun. It is there until the key is written down in the control group.
const AuthorityFile = "authority.pem"

// NewCluster makes a cluster with a new name: its authority, whose key it returns, and the
// credentials of its first member.
func NewCluster(member uint16, incarnation uint64) (c Credentials, caKey []byte, err error) {
	id := Identity{
		Cluster:     fmt.Sprintf("%016x", rand.Uint64()),
		Member:      member,
		Incarnation: incarnation,
	}
	if c.CA, caKey, err = NewAuthority(id.Cluster); err != nil {
		return c, nil, err
	}
	csr, key, err := NewRequest()
	if err != nil {
		return c, nil, err
	}
	c.Key = key
	c.Cert, err = Sign(c.CA, caKey, csr, id)
	return c, caKey, err
}

// Begin makes a cluster whose member 1 has that incarnation, and writes its credentials to dir. The
// authority's key comes first (AuthorityFile): with the credentials the cluster has begun.
func Begin(dir string, incarnation uint64) (Credentials, error) {
	c, caKey, err := NewCluster(1, incarnation)
	if err != nil {
		return c, err
	}
	if err := files.MakeDir(dir); err != nil {
		return c, err
	}
	if err := files.Replace(filepath.Join(dir, AuthorityFile), caKey); err != nil {
		return c, err
	}
	return c, c.Save(dir)
}
