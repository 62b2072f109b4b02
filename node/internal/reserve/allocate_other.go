//go:build !linux

package reserve

import (
	"errors"
	"os"
)

// allocate gives a file room on the disk.
func allocate(*os.File, int64) error { return errors.ErrUnsupported }
