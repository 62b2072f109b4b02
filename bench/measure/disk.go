package measure

import (
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"
)

// Disk is what a folder's file system is and does by itself.
type Disk struct {
	FileSystem string `json:"file_system"`
	// middle time of an fdatasync of 4 KiB written over what is there
	Fsync time.Duration `json:"fsync_ns"`
	// octets a second in synced writes of 1 MiB, one after another, over what is there
	Sequential float64 `json:"sequential"`
}

// names of file systems by their magic numbers (statfs(2)).
var names = map[int64]string{
	0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x2FC12FC1: "zfs",
	0x794C7630: "overlayfs", 0x6969: "nfs",
	0x01021994: "tmpfs", 0x858458F6: "ramfs", 0xF2F52010: "f2fs",
}

// CheckDisk returns the name of dir's file system, and an error for one that keeps nothing on a
// disk: every fsync would be free there.
func CheckDisk(dir string) (string, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return "", fmt.Errorf("the file system of %s: %w", dir, err)
	}
	name := names[int64(fs.Type)]
	switch name {
	case "tmpfs", "ramfs":
		return name, fmt.Errorf("%s is a %s, where every fsync is free: choose a folder on a disk",
			dir, name)
	case "":
		name = fmt.Sprintf("file system 0x%x", fs.Type)
	}
	return name, nil
}

// MeasureDisk times the bare disk under dir. It takes about a second.
func MeasureDisk(dir string) (d Disk, err error) {
	if d.FileSystem, err = CheckDisk(dir); err != nil {
		return d, err
	}
	f, err := os.CreateTemp(dir, "bare-disk-")
	if err != nil {
		return d, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if d.Fsync, err = bareFsync(f); err != nil {
		return d, err
	}
	d.Sequential, err = sequential(f)
	return d, err
}

func bareFsync(f *os.File) (time.Duration, error) {
	var took []time.Duration
	for range 201 {
		start := time.Now()
		if _, err := f.WriteAt(make([]byte, 4096), 0); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// sequential writes the same file twice: the first time makes its blocks, the second is what a
// recycled log file does.
func sequential(f *os.File) (rate float64, err error) {
	const chunk, most = 1 << 20, 256
	block := make([]byte, chunk)
	for i := range block {
		block[i] = byte(i * 31)
	}
	for range 2 {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		start, n := time.Now(), 0
		for n < most && time.Since(start) < time.Second {
			if _, err := f.Write(block); err != nil {
				return 0, err
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				return 0, err
			}
			n++
		}
		rate = float64(n) * chunk / time.Since(start).Seconds()
	}
	return rate, nil
}
