package node

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/operate/admin/api"
)

const secretLen = 32

// scramSecret is what salts are made of for users who do not exist: the same on all nodes, or a
// stranger could tell by asking two of them. It follows from the authority's key, which all nodes
// have and nobody else; own is for a node that does not have it yet.
func (n *node) scramSecret(own []byte) []byte {
	_, key := n.control.Authority()
	if len(key) == 0 {
		return own
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte("postroad: SCRAM of users who do not exist"))
	return h.Sum(nil)
}

// keptSecret returns the random octets kept in a file, made at the first start. Salts that are made
// up for users who do not exist come from them, until the node knows its cluster's. An empty file
// was left by a power loss just after the first start of a program that did not sync it: what was
// shown until then is not worth a node that does not start, so a new one is made.
func keptSecret(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	switch {
	case err == nil && len(b) > 0 && bytes.Count(b, []byte{0}) == len(b):
		return nil, api.Permanent(
			fmt.Errorf("%s is damaged: it is all zeros: remove it, and a new one is made", path))
	case err == nil && len(b) == secretLen:
		return b, nil
	case err == nil && len(b) > 0:
		return nil, api.Permanent(
			fmt.Errorf(
				"%s is damaged: it has %d octets instead of %d: remove it, and a new one is made",
				path, len(b), secretLen))
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	b = make([]byte, secretLen)
	rand.Read(b)
	return b, files.Replace(path, b)
}
