package logstore

import (
	"errors"
	"fmt"
	"sync"
)

// An entry's parts travel in raft.Log.Extensions, whose first octet says how:
//
//	joined  1, number of parts 4, length of each 4, the parts: what followers and replay see
//	lent    2, loan 8: the parts are still the proposer's; only inside the process, from Propose to Apply on the leader
//
// Lending saves a copy of all content: StoreLogs writes the parts straight into the block, Apply
// sees the proposer's own slices.
const (
	extJoined = 1
	extLent   = 2
)

var errBadExtensions = errors.New("log entry with malformed parts")

// joinedLen is the length of the joined form of n parts with the given total.
func joinedLen(n, total int) int { return 5 + 4*n + total }

// JoinParts returns the joined form, nil when there are no parts.
func JoinParts(parts [][]byte) []byte {
	if len(parts) == 0 {
		return nil
	}
	total := 0
	for _, p := range parts {
		total += len(p)
	}
	b := make([]byte, 0, joinedLen(len(parts), total))
	b = append(b, extJoined)
	b = le.AppendUint32(b, uint32(len(parts)))
	for _, p := range parts {
		b = le.AppendUint32(b, uint32(len(p)))
	}
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// SplitParts undoes JoinParts; the parts alias ext.
func SplitParts(ext []byte) ([][]byte, error) {
	if len(ext) == 0 {
		return nil, nil
	}
	if len(ext) < 5 || ext[0] != extJoined || int64(le.Uint32(ext[1:])) > int64(len(ext)-5)/4 {
		return nil, errBadExtensions
	}
	parts := make([][]byte, le.Uint32(ext[1:]))
	lengths, rest := ext[5:], ext[5+4*len(parts):]
	for i := range parts {
		n := int64(le.Uint32(lengths[4*i:]))
		if n > int64(len(rest)) {
			return nil, errBadExtensions
		}
		parts[i], rest = rest[:n:n], rest[n:]
	}
	if len(rest) != 0 {
		return nil, errBadExtensions
	}
	return parts, nil
}

// loans holds the parts of the proposals under way; there are as many as Propose lets in at once.
type loans struct {
	sync.Mutex
	last  uint64
	parts map[uint64][][]byte
}

// Lend returns Extensions that stand for parts until Return. The parts must not change until then.
func (g *Group) Lend(parts [][]byte) []byte {
	if len(parts) == 0 {
		return nil
	}
	g.loans.Lock()
	defer g.loans.Unlock()
	g.loans.last++
	g.loans.parts[g.loans.last] = parts
	return le.AppendUint64([]byte{extLent}, g.loans.last)
}

// Return ends a loan.
func (g *Group) Return(ext []byte) {
	if len(ext) == 9 && ext[0] == extLent {
		g.loans.Lock()
		defer g.loans.Unlock()
		delete(g.loans.parts, le.Uint64(ext[1:]))
	}
}

// Parts returns the parts that an entry's Extensions hold or stand for.
func (g *Group) Parts(ext []byte) ([][]byte, error) {
	if len(ext) == 0 || ext[0] != extLent {
		return SplitParts(ext)
	}
	if len(ext) != 9 {
		return nil, errBadExtensions
	}
	g.loans.Lock()
	defer g.loans.Unlock()
	parts, ok := g.loans.parts[le.Uint64(ext[1:])]
	if !ok {
		return nil, fmt.Errorf("%w: loan %d has ended", errBadExtensions, le.Uint64(ext[1:]))
	}
	return parts, nil
}
