package secret

import (
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/postroad/postroad/internal/files"
)

// KeyLen is the length of a cluster's key in octets.
const KeyLen = 32

// Identity is this node's own key, which opens the boxes that are for it. Read-only.
type Identity struct{ key hpke.PrivateKey }

// The algorithms of boxes (RFC 9180 7). Others would need a version in the box.
var (
	kem  = hpke.DHKEM(ecdh.X25519())
	kdf  = hpke.HKDFSHA256()
	aead = hpke.AES256GCM()
)

// NewIdentity makes a key.
func NewIdentity() (*Identity, error) {
	key, err := kem.GenerateKey()
	return &Identity{key}, err
}

// OpenIdentity reads the key in a file that nobody else can read. Where there is none it makes one.
func OpenIdentity(path string) (*Identity, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return createIdentity(path)
	}
	if err != nil {
		return nil, err
	}
	if err := files.Private(path); err != nil {
		return nil, err
	}
	key, err := kem.NewPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s is no key (%w): remove it, and the node makes another one; the "+
			"other nodes give it the cluster's key again", path, err)
	}
	return &Identity{key}, nil
}

func createIdentity(path string) (*Identity, error) {
	i, err := NewIdentity()
	if err != nil {
		return nil, err
	}
	b, err := i.key.Bytes()
	if err != nil {
		return nil, err
	}
	return i, files.Replace(path, b)
}

// Public returns the key for which others make this node's boxes.
func (i *Identity) Public() string {
	return base64.StdEncoding.EncodeToString(i.key.PublicKey().Bytes())
}

// open opens a box with a key of the cluster.
func (i *Identity) open(epoch uint64, box []byte) ([]byte, error) {
	key, err := hpke.Open(i.key, kdf, aead, boxInfo(epoch), box)
	if err == nil && len(key) != KeyLen {
		err = fmt.Errorf("a key of the cluster has %d octets instead of %d", len(key), KeyLen)
	}
	return key, err
}

// wrap makes the box of who has that public key.
func wrap(public string, epoch uint64, key []byte) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(public)
	if err != nil {
		return nil, err
	}
	to, err := kem.NewPublicKey(b)
	if err != nil {
		return nil, err
	}
	return hpke.Seal(to, kdf, aead, boxInfo(epoch), key)
}

// boxInfo ties a box to the number of the key in it.
func boxInfo(epoch uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("postroad cluster key "), epoch)
}
