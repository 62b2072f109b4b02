package logstore

// window is the part of a group's log that raft may still ask for. It is empty when first is
// last+1; the next entry may then have any index. Guarded by Store.mu.
type window struct {
	first, last uint64
	lastTerm    uint64
	// where entries ..., last-1, last lie: all from first on, except while recovery is under way
	locs []loc
}

type loc struct {
	term  uint64
	place Place
}

// Place says where an entry lies, or where its parts were moved to.
type Place struct {
	Segment uint64
	Pos     uint32 // of the record in the file
	Size    uint32 // of the record: only of entries
	Payload uint32 // of the first part in the file
	Parts   uint32 // how many
}

func (w *window) empty() bool { return w.first > w.last }

func (w *window) at(index uint64) (loc, bool) {
	back := w.last - index
	if index < w.first || index > w.last || back >= uint64(len(w.locs)) {
		return loc{}, false
	}
	return w.locs[uint64(len(w.locs))-1-back], true
}

// appendLocked adds an entry with so many octets of parts.
func (s *Store) appendLocked(g *Group, index, term uint64, p Place, octets int) {
	w := &g.window
	if w.empty() {
		w.first = index
	}
	w.last, w.lastTerm = index, term
	w.locs = append(w.locs, loc{term, p})
	s.mu.segments[p.Segment].window++
	g.appended += uint64(p.Size) + uint64(octets)
}

// compactLocked drops the entries before first.
func (s *Store) compactLocked(g *Group, first uint64) {
	w := &g.window
	s.setWindowLocked(g, min(max(w.first, first), w.last+1), w.last, w.lastTerm)
}

// cutLocked drops the entries after last; their indexes are used again.
func (s *Store) cutLocked(g *Group, last uint64) {
	w := &g.window
	if last < w.last {
		l, _ := w.at(last)
		s.setWindowLocked(g, min(w.first, last+1), last, l.term)
	}
}

// setWindowLocked cuts the window at either end, or moves it (when recovery meets a segment's
// opening records).
func (s *Store) setWindowLocked(g *Group, first, last, lastTerm uint64) {
	w := &g.window
	if last > w.last {
		s.dropLocked(w, 0, len(w.locs))
	} else {
		gone := min(int(w.last-last), len(w.locs))
		s.dropLocked(w, len(w.locs)-gone, len(w.locs))
	}
	w.first, w.last, w.lastTerm = first, last, lastTerm
	if keep := last + 1 - first; keep < uint64(len(w.locs)) {
		s.dropLocked(w, 0, len(w.locs)-int(keep))
	}
}

func (s *Store) dropLocked(w *window, from, to int) {
	for _, l := range w.locs[from:to] {
		seg := s.mu.segments[l.place.Segment]
		seg.window--
		if seg.window == 0 {
			s.noteEmptyLocked(seg)
		}
	}
	if to == len(w.locs) {
		w.locs = w.locs[:from]
	} else {
		w.locs = w.locs[to:] // from is 0
	}
	if len(w.locs) == 0 {
		w.locs = nil
	}
}
