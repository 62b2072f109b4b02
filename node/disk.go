package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/node/internal/reserve"
)

// pressureLook is the time between two looks at the disk, at most.
const pressureLook = time.Second

// pressure says why no new message can be taken: too little free disk. It looks once a second, so
// that a look-up costs nothing. Pebble ends the process when the disk is full, which is why we stop
// long before. It keeps the reserve.
type pressure struct {
	dir  string
	errf func(string, ...any)
	told bool                    // that no room can be set aside
	free atomic.Pointer[float64] // percent that must stay free
	now  atomic.Pointer[smtp.Failure]
	// what of the rest may be promised to mail on its way in
	space *inbound.Space
	// how many queue groups fill this disk: those of other members take as much as ours
	groups func() int
	mu     sync.Mutex // of look
	// octets of the file system that are free, and that there are, when it was looked last
	freeNow, size atomic.Uint64
}

var errDiskFull = smtp.Temp(452, "4.3.1",
	"This server has too little free disk space now; try again later")

var errDiskPromised = func() *smtp.Failure {
	f := *errDiskFull
	f.Log = "what is free is for mail that is coming in"
	return &f
}()

func newPressure(
	dir string, freePercent float64, space *inbound.Space, groups func() int,
	errf func(string, ...any),
) *pressure {
	p := &pressure{dir: dir, errf: errf, space: space, groups: groups}
	p.free.Store(&freePercent)
	p.look()
	return p
}

// Failure is the answer to new mail, nil when it can be taken.
func (p *pressure) Failure() *smtp.Failure {
	if f := p.now.Load(); f != nil {
		return f
	}
	if p.space.Left() <= 0 {
		return errDiskPromised
	}
	return nil
}

func (p *pressure) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.space.Look(p.measure)
}

// measure returns how many octets new mail of this node may take.
func (p *pressure) measure() (room int64, ok bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(p.dir, &fs); err != nil || fs.Blocks == 0 {
		return 0, false // the store reports a disk that is gone
	}
	// Blocks that only root may use count as used, as they do for df.
	usable := fs.Blocks - fs.Bfree + fs.Bavail
	p.freeNow.Store(reserve.Free(&fs))
	p.size.Store(usable * uint64(fs.Bsize))
	least := *p.free.Load() / 100 * float64(usable) * float64(fs.Bsize)
	p.judge(&fs, least)
	return int64((float64(reserve.Free(&fs)) - least) / float64(max(1, p.groups()))), true
}

// judge says whether new mail can be taken at all.
func (p *pressure) judge(fs *syscall.Statfs_t, least float64) {
	if float64(reserve.Free(fs)) >= least {
		p.now.Store(nil)
		p.setAside(fs, least)
		return
	}
	f := *errDiskFull
	f.Log = fmt.Sprintf("%d MiB free on the file system of %s", fs.Bavail*uint64(fs.Bsize)>>20,
		p.dir)
	p.now.Store(&f)
}

// makeRoom gives up what is set aside, a half at a time, for a log that has no room left. It is
// called by the log's writer.
func (p *pressure) makeRoom() bool {
	p.mu.Lock()
	given := reserve.Of(p.dir).GiveUpHalf()
	p.mu.Unlock()
	if given {
		p.errf("the disk of %s is full: room that was set aside goes to the log, and mail is "+
			"refused until there is more", p.dir)
	}
	p.look()
	return given
}

// setAside makes the reserve when so much is free that mail is taken with it, too.
func (p *pressure) setAside(fs *syscall.Statfs_t, least float64) {
	r := reserve.Of(p.dir)
	size := r.Size(fs)
	if p.told || float64(reserve.Free(fs)) < least+float64(size) || r.Held() {
		return
	}
	if err := r.Make(size); err != nil { // not every file system can
		p.told = true
		p.errf("a start with a full disk will not work: %v", err)
	}
}

func (p *pressure) watch(ctx context.Context) {
	tick := time.NewTimer(pressureLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tick.Reset(clock.Together(pressureLook))
			p.look()
		}
	}
}
