package roster

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/postroad/postroad/directory"
)

// HashAll hashes the passwords in clear, on all cores.
func HashAll(ctx context.Context, rows []*User) error {
	var all sync.WaitGroup
	work, errs := make(chan *User), make(chan error, len(rows))
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for row := range work {
				hash, err := directory.HashPassword(row.Password, directory.DefaultCost)
				if err != nil {
					errs <- err
				}
				row.Hash, row.Password = hash, ""
			}
		})
	}
	for _, row := range rows {
		if row.Password != "" && ctx.Err() == nil {
			work <- row
		}
	}
	close(work)
	all.Wait()
	close(errs)
	return errors.Join(ctx.Err(), <-errs)
}
