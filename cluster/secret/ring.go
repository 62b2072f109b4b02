package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/postroad/postroad/cluster/control"
)

// ErrNoKey says that this node does not have the cluster's key, or not the one with which a secret
// was sealed.
var ErrNoKey = errors.New(
	"this node does not have the cluster's key yet: another node that has it must run")

// ErrSealed says that what is there was not sealed so: it is damaged, or was put in another place.
var ErrSealed = errors.New("the secret cannot be opened: it is damaged, or not that of this name")

// A sealed secret is a version byte, the number of the key and what AES-256-GCM makes of it, with
// a random nonce in front. 2^32 secrets of one key are safe with that (NIST SP 800-38D 8.3).
const (
	sealedVersion = 1
	sealedHead    = 1 + 8
)

// Ring seals and opens with the keys of the cluster that this node knows. Safe for use by several
// goroutines. The zero value knows none.
type Ring struct {
	mu     sync.RWMutex
	keys   map[uint64]ringKey
	newest uint64 // of the cluster, whether it is known here or not
}

type ringKey struct {
	raw  []byte
	aead cipher.AEAD
}

// Learn opens the boxes of a member and forgets what is in use no more. It returns an error when a
// box that is there cannot be opened.
func (r *Ring) Learn(epochs []control.KeyEpoch, member uint16, self *Identity) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := make(map[uint64]ringKey, len(epochs))
	var bad error
	r.newest = 0
	for i := range epochs {
		e := &epochs[i]
		r.newest = max(r.newest, e.Epoch)
		if k, ok := r.keys[e.Epoch]; ok {
			known[e.Epoch] = k
			continue
		}
		box, ok := e.Box(member)
		if !ok {
			continue
		}
		raw, err := self.open(e.Epoch, box)
		if err != nil {
			bad = fmt.Errorf("key %d of the cluster: %w", e.Epoch, err)
			continue
		}
		known[e.Epoch] = newRingKey(raw)
	}
	r.keys = known
	return bad
}

func newRingKey(raw []byte) ringKey {
	block, err := aes.NewCipher(raw)
	if err != nil {
		panic(err) // the length is checked
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return ringKey{raw, gcm}
}

// Newest returns the number of the key with which secrets are sealed now; ok is false as long as
// this node does not know that key.
func (r *Ring) Newest() (epoch uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok = r.keys[r.newest]
	return r.newest, ok
}

// Seal returns plain in a form that only Open with the same purpose reads. The purpose says what it
// is and whose, so that nobody who can write rows puts a secret in another's place.
func (r *Ring) Seal(purpose string, plain []byte) ([]byte, error) {
	r.mu.RLock()
	k, ok := r.keys[r.newest]
	epoch := r.newest
	r.mu.RUnlock()
	if !ok {
		return nil, ErrNoKey
	}
	b := binary.BigEndian.AppendUint64([]byte{sealedVersion}, epoch)
	return k.aead.Seal(b, nil, plain, []byte(purpose)), nil
}

// Open returns what Seal was given: ErrNoKey, ErrSealed.
func (r *Ring) Open(purpose string, sealed []byte) ([]byte, error) {
	epoch, ok := Epoch(sealed)
	if !ok {
		return nil, ErrSealed
	}
	r.mu.RLock()
	k, ok := r.keys[epoch]
	r.mu.RUnlock()
	if !ok {
		return nil, ErrNoKey
	}
	plain, err := k.aead.Open(nil, nil, sealed[sealedHead:], []byte(purpose))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// Epoch returns the number of the key with which a secret was sealed.
func Epoch(sealed []byte) (epoch uint64, ok bool) {
	if len(sealed) < sealedHead || sealed[0] != sealedVersion {
		return 0, false
	}
	return binary.BigEndian.Uint64(sealed[1:]), true
}

// raw returns a key as it is.
func (r *Ring) raw(epoch uint64) (key []byte, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[epoch]
	return k.raw, ok
}
