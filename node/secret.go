package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/operate/admin/api"
)

const secretLen = 32

// keptSecret returns the random octets kept in a file, made at the first start. Salts that are made
// up for users who do not exist come from them: they must stay the same, or a stranger could tell
// by a salt that changes that there is no such user. An empty file was left by a power loss just
// after the first start of a program that did not sync it: what was shown until then is not worth a
// node that does not start, so a new one is made.
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
