package rsasign

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
)

// try makes a signature and checks it with the public key.
func (k *Key) try() error {
	digest := sha256.Sum256([]byte("rsasign"))
	sig, err := k.Sign(digest)
	if err == nil {
		err = rsa.VerifyPKCS1v15(k.public, crypto.SHA256, digest[:], sig)
	}
	if err != nil {
		return fmt.Errorf("the parts of the RSA private key do not belong together: %w", err)
	}
	return nil
}
