package disk

import (
	"io"
	"os"
	"slices"
	"sync"
)

// undoLimit bounds the octets of all notes.
const undoLimit = 256 << 20

// noteCost is what a note costs beside the octets that it holds.
const noteCost = 64

// notes say how to take back what was not synced.
type notes struct {
	sync.Mutex
	files map[string]*noted // by path
	next  uint64            // number of the next note
	held  int64             // octets in all notes
	limit int64             // of held
	order []owned           // all notes, the oldest first; some are forgotten already
}

// noted is one file. It has a handle of its own, through the page cache, whatever the writer's
// does.
type noted struct {
	f       *os.File
	written []note // the oldest first
}

// note is one write: what the octets were, and how long the file.
type note struct {
	number uint64
	off    int64
	old    []byte
	size   int64
}

type owned struct {
	file   *noted
	number uint64
}

func (n *noted) size() (int64, error) {
	info, err := n.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// open returns the notes of a file; a fresh one has none, and what another had under its name is
// gone.
func (n *notes) open(path string, fresh bool) (*noted, error) {
	n.Lock()
	defer n.Unlock()
	if fresh {
		n.forgetLocked(path)
	}
	if old := n.files[path]; old != nil {
		return old, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	n.files[path] = &noted{f: f}
	return n.files[path], nil
}

// add notes a write that is about to be made.
func (n *notes) add(file *noted, off int64, length int, size int64) error {
	old := make([]byte, max(0, min(int64(length), size-off)))
	if _, err := file.f.ReadAt(old, off); err != nil && err != io.EOF {
		return err
	}
	n.Lock()
	defer n.Unlock()
	file.written = append(file.written, note{n.next, off, old, size})
	n.order = append(n.order, owned{file, n.next})
	n.next++
	n.held += int64(len(old)) + noteCost
	for n.held > n.limit && len(n.order) > 0 {
		n.dropLocked(n.order[0].file, n.order[0].number+1)
		n.order = n.order[1:]
	}
	return nil
}

// now is a moment: the notes before it have smaller numbers.
func (n *notes) now() uint64 {
	n.Lock()
	defer n.Unlock()
	return n.next
}

// synced forgets the notes of a file that were made before a moment.
func (n *notes) synced(file *noted, at uint64) {
	n.Lock()
	defer n.Unlock()
	n.dropLocked(file, at)
	if len(n.order) > 1<<16 { // mostly of notes that are gone
		n.order = slices.DeleteFunc(n.order, func(o owned) bool {
			return len(o.file.written) == 0 || o.number < o.file.written[0].number
		})
	}
}

func (n *notes) dropLocked(file *noted, before uint64) {
	k := 0
	for k < len(file.written) && file.written[k].number < before {
		n.held -= int64(len(file.written[k].old)) + noteCost
		k++
	}
	file.written = slices.Delete(file.written, 0, k)
}

func (n *notes) rename(old, path string) {
	n.Lock()
	defer n.Unlock()
	if f := n.files[old]; f != nil {
		n.forgetLocked(path)
		n.files[path] = f
		delete(n.files, old)
	}
}

// forget is called when a file is removed.
func (n *notes) forget(path string) {
	n.Lock()
	defer n.Unlock()
	n.forgetLocked(path)
}

func (n *notes) forgetLocked(path string) {
	if f := n.files[path]; f != nil {
		n.dropLocked(f, n.next)
		f.f.Close()
		delete(n.files, path)
	}
}

// undo takes everything back that was not synced, the newest first.
func (n *notes) undo() {
	n.Lock()
	defer n.Unlock()
	for _, f := range n.files {
		for _, w := range slices.Backward(f.written) {
			f.f.WriteAt(w.old, w.off)
			f.f.Truncate(w.size)
		}
		f.f.Sync()
	}
}
