package mail

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The ports of FreeAddrs lie below those that kernels give to outgoing connections, which would
// else take one now and then before its server is started.
const (
	firstPort = 10_000
	endOfPort = 30_000
)

var ports struct {
	sync.Mutex
	next int // 0: none was given yet
}

// FreeAddrs returns n addresses of a host, as host:port, where nobody listens now. They are
// different, and from those that this process was given before.
func FreeAddrs(host string, n int) (addrs []string, err error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		// other processes look for ports, too
		ports.next = firstPort + rand.IntN(endOfPort-firstPort)
	}
	for range endOfPort - firstPort {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := net.JoinHostPort(host, strconv.Itoa(ports.next))
		if ports.next++; ports.next == endOfPort {
			ports.next = firstPort
		}
		if l, e := net.Listen("tcp", addr); e != nil {
			err = e
		} else {
			l.Close()
			addrs = append(addrs, addr)
		}
	}
	return nil, errors.Join(errors.New("there is no free port"), err)
}

// FreeAddr returns one.
func FreeAddr(host string) (string, error) {
	addrs, err := FreeAddrs(host, 1)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}
