//go:build !linux

package eventloop

import "syscall"

func keepAlive(_, _ string, _ syscall.RawConn) error { return nil }
