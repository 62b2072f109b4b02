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

// loginCache remembers the last password with which a user logged in, as an HMAC under a key that
// dies with the process: a dump of the memory gives nothing to compare with but by hashing with
// that key, and nothing is on disk. An entry is void when the user changes in any way, and after
// ttl. Safe for use by several goroutines.
type loginCache struct {
	key   [32]byte
	limit int
	ttl   time.Duration
	now   clock
	mu    struct {
		sync.Mutex
		entries map[string]cachedLogin
	}
}

type cachedLogin struct {
	mac     [32]byte // of name, version and password
	expires time.Time
}

func newLoginCache(limit int, ttl time.Duration, now clock) *loginCache {
	c := &loginCache{limit: limit, ttl: ttl, now: now}
	rand.Read(c.key[:]) // never fails
	c.mu.entries = map[string]cachedLogin{}
	return c
}

// has reports whether the user, at this version, has logged in with password lately.
func (c *loginCache) has(u *directory.User, password string) bool {
	c.mu.Lock()
	e, ok := c.mu.entries[u.Name]
	c.mu.Unlock()
	if !ok || !c.now().Before(e.expires) {
		return false
	}
	mac := c.mac(u, password)
	return hmac.Equal(mac[:], e.mac[:])
}

func (c *loginCache) add(u *directory.User, password string) {
	e := cachedLogin{mac: c.mac(u, password), expires: c.now().Add(c.ttl)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.mu.entries[u.Name]; !ok && len(c.mu.entries) >= c.limit {
		for name := range c.mu.entries { // any: a user who comes back pays one hash
			delete(c.mu.entries, name)
			break
		}
	}
	c.mu.entries[u.Name] = e
}

func (c *loginCache) mac(u *directory.User, password string) (sum [32]byte) {
	h := hmac.New(sha256.New, c.key[:])
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], u.Version)
	binary.BigEndian.PutUint64(n[8:], uint64(len(u.Name)))
	h.Write(n[:])
	h.Write([]byte(u.Name))
	h.Write([]byte(password))
	h.Sum(sum[:0])
	return sum
}
