package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/postroad/postroad/node/internal/reserve"
	"github.com/postroad/postroad/operate/admin/api"
)

// A start comes to an end, whatever hangs in it: a step that waits on the disk, or in Pebble, which
// takes no context and, after an error, never returns. So a step runs beside whoever watches it.

// startGrace is how long a step may take to notice that it was given up.
const startGrace = 5 * time.Second

// within runs one step of the start, whose context ends after the limit (0: there is none). It
// returns when that is done, when a part has failed for good, or soon after the context has ended;
// ended says whether the step came to its end.
func (n *node) within(
	ctx context.Context,
	limit time.Duration,
	step func(context.Context) error,
) (ended bool, err error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	done := make(chan error, 1)
	go func() { done <- step(ctx) }()
	select {
	case err := <-done:
		return true, err
	case err := <-n.fatal:
		return false, err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return true, err
	case err := <-n.fatal:
		return false, err
	case <-time.After(startGrace):
		return false, &api.Error{
			Exit:    api.ExitTemporary,
			Message: "it hangs: " + ctx.Err().Error(),
			Hint:    "look whether the disk of " + n.cfg().Node.DataDir + " answers",
		}
	}
}

// closeTimeout bounds the end of the store, which is not hastened: what it writes makes the next
// start short. A disk may hang.
const closeTimeout = 45 * time.Second

func (n *node) closeStore(context.Context) error {
	closed := make(chan error, 1)
	go func() { closed <- n.store.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeTimeout):
		return &api.Error{
			Exit: api.ExitIO,
			Message: fmt.Sprintf(
				"the disk of %s has not answered for %v: it ends as after a crash; nothing "+
					"acknowledged is lost",
				n.cfg().Node.DataDir,
				closeTimeout,
			),
		}
	}
}

// DiskTrouble gives what the disk is to blame for its exit status, and says what to do. The service
// manager starts the node again after all of them but a lack of permission.
func DiskTrouble(dir string, err error) error {
	var said *api.Error
	if err == nil || errors.As(err, &said) {
		return err
	}
	var path *fs.PathError
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &api.Error{Exit: api.ExitTemporary, Message: err.Error(),
			Hint: reserve.FullHint(dir)}
	case errors.Is(err, syscall.EROFS):
		return &api.Error{
			Exit:    api.ExitIO,
			Message: err.Error(),
			Hint: "the file system of " + dir +
				" is read-only, perhaps after an error of the disk (see dmesg): once it can be " +
				"written, start the node again",
		}
	case errors.Is(err, syscall.EIO):
		return &api.Error{
			Exit:    api.ExitIO,
			Message: err.Error(),
			Hint:    "the disk of " + dir + " fails (see dmesg)",
		}
	case errors.Is(err, fs.ErrPermission) && errors.As(err, &path):
		return &api.Error{
			Exit:    api.ExitPermission,
			Message: err.Error(),
			Hint:    "give " + dir + " and what is in it to the user that runs the node",
		}
	}
	return err
}
