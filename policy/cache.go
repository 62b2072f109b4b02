package policy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/postroad/postroad/directory"
)

// loginCache remembers the last password with which a user logged in from a network, as an HMAC
// under a key that dies with the process: a dump of the memory gives nothing to compare with but by
// hashing with that key, and nothing is on disk. An entry is void when the user changes in any way,
// and after ttl. Safe for use by several goroutines.
type loginCache struct {
	key   [32]byte
	limit int
	ttl   time.Duration
	now   clock
	mu    struct {
		sync.Mutex
		entries map[pair]cachedLogin
	}
}

type cachedLogin struct {
	mac     [32]byte // of name, version and password
	expires time.Time
}

func newLoginCache(limit int, ttl time.Duration, now clock) *loginCache {
	c := &loginCache{limit: limit, ttl: ttl, now: now}
	rand.Read(c.key[:]) // never fails
	c.mu.entries = map[pair]cachedLogin{}
	return c
}

// look reports whether the user has logged in from the network, with this password and at this
// version, lately; compared is whether there was anything to compare with.
func (c *loginCache) look(at pair, mac *[32]byte) (hit, compared bool) {
	c.mu.Lock()
	e, ok := c.mu.entries[at]
	c.mu.Unlock()
	if !ok || !c.now().Before(e.expires) {
		return false, false
	}
	return hmac.Equal(mac[:], e.mac[:]), true
}

func (c *loginCache) add(at pair, mac [32]byte) {
	e := cachedLogin{mac: mac, expires: c.now().Add(c.ttl)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.mu.entries[at]; !ok && len(c.mu.entries) >= c.limit {
		for old := range c.mu.entries { // any: a user who comes back pays one hash
			delete(c.mu.entries, old)
			break
		}
	}
	c.mu.entries[at] = e
}

// mac returns the HMAC of a log-in. u is nil for somebody who is not there; the version of those
// is 0.
func (c *loginCache) mac(u *directory.User, name, password string) (sum [32]byte) {
	h := hmac.New(sha256.New, c.key[:])
	var n [16]byte
	if u != nil {
		binary.BigEndian.PutUint64(n[:8], u.Version)
	}
	binary.BigEndian.PutUint64(n[8:], uint64(len(name)))
	h.Write(n[:])
	h.Write([]byte(name))
	h.Write([]byte(password))
	h.Sum(sum[:0])
	return sum
}
