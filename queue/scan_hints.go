package queue

import (
	"bytes"
	"cmp"
	"math"
	"sync"

	"github.com/postroad/postroad/internal/mail"
)

// scanHints remembers where each domain's schedule begins. The rows before it were deleted, and a
// store of the LSM kind walks over what was deleted until it is compacted (pitfall P5): scans from
// the beginning of a busy domain would get slower and slower.
//
// A scan takes the place to begin with from begin and gives what it found first to found. Every row
// that is written is noted with wrote after it is in the store and before the listener hears of it.
// A scan whose snapshot did not hold the row may set the head behind it, but then wrote comes
// later, or came between begin and found, and in both cases the row's place is in low and so the
// next scan begins there.
type scanHints struct {
	mu struct {
		sync.Mutex
		domains map[string]*scanHint
		version uint64
	}
}

// place is a row's place in its domain's schedule.
type place struct {
	due int64
	id  mail.ID
}

var lastPlace = place{due: math.MaxInt64}

func (a place) min(b place) place {
	if cmp.Or(cmp.Compare(a.due, b.due), bytes.Compare(a.id[:], b.id[:])) <= 0 {
		return a
	}
	return b
}

type scanHint struct {
	first   place // no row known to a scan is before
	low     place // the first of the rows written since
	version uint64
}

// maxScanHints bounds the memory of scanHints, about 15 MiB. Over it one is forgotten, which costs
// a slow scan.
const maxScanHints = 100_000

func (h *scanHints) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.domains = make(map[string]*scanHint)
}

// begin returns where to begin a scan of a domain.
func (h *scanHints) begin(domain string) (from place, version uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.mu.domains[domain]
	if d == nil {
		if h.mu.domains == nil {
			return place{}, 0
		}
		if len(h.mu.domains) >= maxScanHints {
			for other := range h.mu.domains {
				delete(h.mu.domains, other)
				break
			}
		}
		h.mu.version++
		d = &scanHint{low: lastPlace, version: h.mu.version}
		h.mu.domains[domain] = d
	}
	return d.first.min(d.low), d.version
}

// found gives the first place that a scan found.
func (h *scanHints) found(domain string, version uint64, first place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.mu.domains[domain]; d != nil && d.version == version {
		h.mu.version++
		*d = scanHint{first: first.min(d.low), low: lastPlace, version: h.mu.version}
	}
}

// wrote notes a schedule row.
func (h *scanHints) wrote(domain []byte, p place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.mu.domains[string(domain)]; d != nil {
		d.low = d.low.min(p)
	}
}
