package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// This file spoils the data of a node that does not run, as disks do that come back wrong.

// tailOctets is how near to the end of what was written half of all damage is: what was
// acknowledged last lies there, and what a crash may have torn.
const tailOctets = 16 << 10

// damage spoils one file of the node's data, and says what it did.
func (n *Node) damage(k Kind, r *rand.Rand) (what string, err error) {
	if n.Up() {
		return "", fmt.Errorf("%s is running", n.Name)
	}
	v, err := n.victim(r)
	if err != nil {
		return "", fmt.Errorf("looking for a file of %s to damage: %w", n.Name, err)
	}
	rel, _ := filepath.Rel(n.Data, v.name)
	switch k {
	case Flip:
		off, bit := v.place(r), r.IntN(8)
		what = fmt.Sprintf("bit %d of octet %d of %d of %s flipped", bit, off, v.end, rel)
		return what, flip(v.name, off, bit)
	case Shorten:
		size := v.place(r)
		what = fmt.Sprintf("%s cut off at octet %d of %d", rel, size, v.end)
		return what, os.Truncate(v.name, size)
	case Blank:
		return rel + " empty", os.Truncate(v.name, 0)
	case Missing:
		return rel + " removed", os.Remove(v.name)
	}
	return "", fmt.Errorf("%v is no damage of a file", k)
}

// place chooses an octet of what was written: of all, or of what is near to its end, or of what was
// written last.
func (v *victim) place(r *rand.Rand) int64 {
	from := int64(0)
	switch r.IntN(4) {
	case 0:
		from = v.last
	case 1:
		from = max(0, v.end-tailOctets)
	}
	return from + r.Int64N(v.end-from)
}

func flip(name string, off int64, bit int) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	if err == nil {
		b[0] ^= 1 << bit
		_, err = f.WriteAt(b[:], off)
	}
	return errors.Join(err, f.Close())
}

// victim is a file to be damaged.
type victim struct {
	name string
	end  int64 // of what was written
	last int64 // where that begins which was written last, if it is known
}

// victim chooses a file that holds something. Kinds of files are equally likely, however many there
// are of each, but the log is three times as likely; of a kind, half of the time it is the newest.
func (n *Node) victim(r *rand.Rand) (v victim, err error) {
	kinds := map[string][]string{} // by folder and ending
	err = filepath.WalkDir(n.Data, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err != nil || info.Size() == 0 {
			return err
		}
		rel, _ := filepath.Rel(n.Data, name)
		kind := filepath.Dir(rel) + "/" + fileKind(filepath.Base(rel))
		kinds[kind] = append(kinds[kind], name)
		return nil
	})
	if err != nil {
		return v, err
	}
	var names []string
	for kind := range kinds {
		names = append(names, kind)
		if strings.HasSuffix(kind, segmentExt) {
			names = append(names, kind, kind)
		}
	}
	slices.Sort(names)
	for range 100 {
		if len(names) == 0 {
			break
		}
		files := kinds[names[r.IntN(len(names))]]
		v.name = files[r.IntN(len(files))]
		if r.IntN(2) == 0 {
			v.name = files[len(files)-1] // they are numbered
		}
		if v.last, v.end, err = lastBlock(v.name); err == nil && v.end == 0 {
			v.end, err = written(v.name)
		}
		if err != nil || v.end > 0 {
			return v, err
		}
	}
	return v, errors.New("there is none with something in it")
}

// fileKind tells files apart by their endings, or else by their names without numbers.
func fileKind(name string) string {
	if ext := filepath.Ext(name); ext != "" {
		return ext
	}
	return strings.TrimRight(name, "-0123456789")
}

// written returns where the last octet of a file that is not zero ends: files are made longer than
// what is in them.
func written(name string) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 1<<20)
	for end := info.Size(); end > 0; {
		from := max(0, end-int64(len(buf)))
		b := buf[:end-from]
		if _, err := f.ReadAt(b, from); err != nil {
			return 0, err
		}
		for i, c := range slices.Backward(b) {
			if c != 0 {
				return from + int64(i) + 1, nil
			}
		}
		end = from
	}
	return 0, nil
}

// keep copies the data of a node that does not run; rollback puts the copy in their place. The copy
// is on stable storage: a loss of power that comes later takes nothing of it.
func (n *Node) keep() error {
	if n.Up() {
		return fmt.Errorf("%s is running", n.Name)
	}
	if err := os.RemoveAll(n.kept()); err != nil {
		return err
	}
	out, err := exec.Command("cp", "-a", "--sparse=always", n.Data, n.kept()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copying the data of %s: %w: %s", n.Name, err, out)
	}
	return filepath.WalkDir(n.kept(), func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

func (n *Node) kept() string { return filepath.Join(n.Dir, "data.kept") }

func (n *Node) rollback() error {
	if err := n.Wipe(); err != nil {
		return err
	}
	return os.Rename(n.kept(), n.Data)
}
