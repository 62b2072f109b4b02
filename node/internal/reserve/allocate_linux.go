package reserve

import (
	"os"
	"syscall"
)

// allocate gives a file room on the disk.
func allocate(f *os.File, octets int64) error {
	return os.NewSyscallError("fallocate", syscall.Fallocate(int(f.Fd()), 0, 0, octets))
}
