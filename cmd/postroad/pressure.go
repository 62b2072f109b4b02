package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// pressure says why no new message can be taken: too little free disk. It looks once a second, so that a
// look-up costs nothing. Pebble ends the process when the disk is full, which is why we stop long before.
type pressure struct {
	dir  string
	free atomic.Pointer[float64] // percent that must stay free
	now  atomic.Pointer[smtp.Failure]
}

var errDiskFull = smtp.Temp(452, "4.3.1", "This server has too little free disk space now; try again later")

func newPressure(dir string, freePercent float64) *pressure {
	p := &pressure{dir: dir}
	p.free.Store(&freePercent)
	p.look()
	return p
}

// Failure is the answer to new mail, nil when it can be taken.
func (p *pressure) Failure() *smtp.Failure { return p.now.Load() }

func (p *pressure) look() {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(p.dir, &fs); err != nil || fs.Blocks == 0 {
		return // the store reports a disk that is gone
	}
	// Blocks that only root may use count as used, as they do for df.
	usable := fs.Blocks - fs.Bfree + fs.Bavail
	if 100*float64(fs.Bavail) >= *p.free.Load()*float64(usable) {
		p.now.Store(nil)
		return
	}
	f := *errDiskFull
	f.Log = fmt.Sprintf("%d MiB free on the file system of %s", fs.Bavail*uint64(fs.Bsize)>>20, p.dir)
	p.now.Store(&f)
}

func (p *pressure) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.look()
		}
	}
}
