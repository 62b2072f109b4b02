package faults

import (
	"context"
	"errors"
	"fmt"
)

// fullStart starts a node on a full disk. It may end, and says then that it is to be started again;
// or it waits for room.
func (d *Driver) fullStart(ctx context.Context, s Step, hit *Node) error {
	stop := func() error { hit.Kill(); return nil }
	if s.Clean {
		stop = hit.Terminate
	}
	at, err := d.begin(s.Kind, "restart of "+hit.Name+" on a full disk", func() error {
		return errors.Join(stop(), d.spoil(hit, DiskFull))
	})
	if err == nil {
		err = hit.Start()
	}
	if err != nil {
		return err
	}
	ended := d.withoutRoom(ctx, s, hit)
	err = hit.Inject(DiskFine)
	delete(d.sick, hit.Number)
	d.over(at)
	if status := hit.ExitStatus(); ended && status != exitIO && status != exitTemporary {
		return errors.Join(err, fmt.Errorf("%s ended on a full disk with %d, want %d or %d: %s",
			hit.Name, status, exitIO, exitTemporary, lastWords(hit.Log())))
	}
	if err != nil {
		return err
	}
	return d.tend(ctx)
}

// withoutRoom lets a node be without room for as long as a step says, and reports whether it ended.
func (d *Driver) withoutRoom(ctx context.Context, s Step, n *Node) bool {
	ctx, cancel := context.WithTimeout(ctx, s.For)
	defer cancel()
	select {
	case <-n.Gone():
	case <-ctx.Done():
	}
	return n.dead()
}
