package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
)

const secretLen = 32

// keptSecret returns the random octets kept in a file, made at the first start. Salts that are made up for users who do not exist come from them: they must
// stay the same, or a stranger could tell by a salt that changes that there is no such user.
func keptSecret(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	switch {
	case err == nil && len(b) == secretLen:
		return b, nil
	case err == nil:
		return nil, fmt.Errorf("%s has %d octets instead of %d: remove it, and a new one is made", path, len(b), secretLen)
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	b = make([]byte, secretLen)
	rand.Read(b)
	return b, os.WriteFile(path, b, 0o600)
}
