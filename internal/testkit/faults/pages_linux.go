package faults

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// The simulated disk sees what goes through the node's storage. Small files beside it are written
// by other means; of those the kernel tells what is not on stable storage yet: pages are dirty.

const (
	pageDirty     = 1 << 4 // bits of /proc/kpageflags
	pageWriteback = 1 << 8
	pageFrame     = 1<<55 - 1 // of an entry of /proc/self/pagemap
	smallFile     = 64 << 10
)

// DropUnsynced empties the small files of a node that does not run which were never synced, as a
// loss of power does, and names them. Who may not look at pages finds none, and is told so.
func (n *Node) DropUnsynced() (names []string, err error) {
	err = filepath.WalkDir(n.Data, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(n.Data, name)
		if strings.HasPrefix(rel, "state/") || strings.HasPrefix(rel, "segments/") {
			return nil // the simulated disk has taken it back
		}
		info, err := e.Info()
		if err != nil || info.Size() == 0 || info.Size() > smallFile {
			return err
		}
		dirty, err := unsynced(name, int(info.Size()))
		if err != nil || !dirty {
			return err
		}
		names = append(names, rel)
		return os.Truncate(name, 0)
	})
	return names, err
}

// unsynced reports whether a file has pages that are not on stable storage.
func unsynced(name string, size int) (dirty bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return false, fmt.Errorf("looking at the pages of %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, syscall.Munmap(mem)) }()
	var page [1]byte
	for off := 0; off < size && err == nil && !dirty; off += os.Getpagesize() {
		copy(page[:], mem[off:]) // so that it is there
		dirty, err = pageIsDirty(uintptr(unsafe.Pointer(&mem[off])))
	}
	return dirty, err
}

func pageIsDirty(address uintptr) (bool, error) {
	entry, err := procWord("/proc/self/pagemap", int64(address)/int64(os.Getpagesize()))
	if err != nil {
		return false, err
	}
	if entry&pageFrame == 0 {
		return false, os.ErrPermission
	}
	flags, err := procWord("/proc/kpageflags", int64(entry&pageFrame))
	return flags&(pageDirty|pageWriteback) != 0, err
}

// procWord reads one of the numbers of 64 bits that a file of /proc is made of.
func procWord(name string, at int64) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [8]byte
	if _, err := f.ReadAt(b[:], at*8); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}
