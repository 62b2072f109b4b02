package mail

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// The ports of FreeAddrs lie below those that kernels give to outgoing connections, which would
// else take one now and then before its server is started. They come in blocks. A process has a
// block for itself as long as it lives: tests of several packages run side by side, and each looks
// for ports some time before its servers listen there.
const (
	firstPort    = 10_000
	blockOfPorts = 250
	blockCount   = 80
)

var ports struct {
	sync.Mutex
	locks     []*os.File // of the blocks; the kernel lets go of them when the process ends
	blocks    []int      // their numbers, the one that is in use last
	next, end int        // what is left of that one
}

// FreeAddrs returns n addresses of a host, as host:port, where nobody listens now. They are
// different, and from those that this process was given before.
func FreeAddrs(host string, n int) (addrs []string, err error) {
	ports.Lock()
	defer ports.Unlock()
	for range n + blockOfPorts*blockCount {
		if len(addrs) == n {
			return addrs, nil
		}
		if ports.next == ports.end {
			if err := nextBlock(); err != nil {
				return nil, err
			}
		}
		addr := net.JoinHostPort(host, strconv.Itoa(ports.next))
		ports.next++
		l, err := net.Listen("tcp", addr)
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
		if err == nil {
			l.Close()
			addrs = append(addrs, addr)
		}
	}
	return nil, errors.New("there is no free port")
}

// nextBlock goes on with a block that no process has, or when there is none left, with the one that
// this process took first.
func nextBlock() error {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("postroad-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	block, lock, err := freeBlock(dir)
	switch {
	case err != nil:
		return err
	case lock != nil:
		ports.locks = append(ports.locks, lock)
	case len(ports.blocks) == 0:
		return errors.New("there is no free port: other processes have them all")
	default:
		block = ports.blocks[0]
		ports.blocks = ports.blocks[1:]
	}
	ports.blocks = append(ports.blocks, block)
	ports.next = firstPort + block*blockOfPorts
	ports.end = ports.next + blockOfPorts
	return nil
}

// freeBlock locks a block that no process has. It returns no lock when there is none.
func freeBlock(dir string) (block int, lock *os.File, err error) {
	for _, block := range rand.Perm(blockCount) {
		name := filepath.Join(dir, strconv.Itoa(block))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return 0, nil, err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return block, f, nil
		}
		f.Close()
	}
	return 0, nil, nil
}

// FreeAddr returns one.
func FreeAddr(host string) (string, error) {
	addrs, err := FreeAddrs(host, 1)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}
