// Package jitter spreads what failed together, so that it does not return together.
package jitter

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// Jitter makes a draw for each retry. Safe for use by several goroutines.
type Jitter struct{ seed uint64 }

// New returns the jitter of a seed, the same each time; 0 means a random one.
func New(seed uint64) Jitter {
	if seed == 0 {
		seed = rand.Uint64()
	}
	return Jitter{seed}
}

// Of returns the draw of a message at a site after so many attempts. It is the same for all of its
// recipients: what was one transaction is one again.
func (j Jitter) Of(id mail.ID, attempts int, site string) Draw {
	h := fnv.New64a()
	h.Write(id[:])
	h.Write(binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64), uint64(attempts)))
	h.Write([]byte(site))
	return Draw(rand.New(rand.NewPCG(j.seed, h.Sum64())).Float64())
}

// Draw is a number from 0 to 1.
type Draw float64

// Around returns d with up to an eighth added or taken.
func (u Draw) Around(d time.Duration) time.Duration { return d - d/8 + u.of(d/4) }

// Above returns d with up to a half added.
func (u Draw) Above(d time.Duration) time.Duration { return d + u.of(d/2) }

func (u Draw) of(d time.Duration) time.Duration { return time.Duration(float64(u) * float64(d)) }

// NewRand returns the random numbers of a seed, the same each time; 0 means random ones.
func NewRand(seed uint64) *rand.Rand {
	if seed == 0 {
		seed = rand.Uint64()
	}
	return rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))
}
