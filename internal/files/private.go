package files

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// containerSecrets is where container engines show secrets, often for everybody to read: the
// container has no other users.
const containerSecrets = "/run/secrets"

// Private returns why a file is no place for a key, a password or a token: everybody on the machine
// can read it. A group may, such as Debian's ssl-cert; so may those who could not come to it,
// because a directory above is closed to them. What cannot be looked at is not its affair.
func Private(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	if real, err = filepath.Abs(real); err != nil {
		return nil
	}
	info, err := os.Stat(real)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o004 == 0 ||
		strings.HasPrefix(real, containerSecrets+"/") || closed(filepath.Dir(real)) {
		return nil
	}
	return fmt.Errorf("%s holds a secret that everybody on this machine can read (mode %04o): "+
		"`chmod 600 %s`, and replace the secret if others have seen it",
		path, info.Mode().Perm(), real)
}

// closed reports whether others cannot come through a directory, or one above it.
func closed(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err == nil && info.Mode().Perm()&fs.FileMode(0o001) == 0 {
			return true
		}
		above := filepath.Dir(dir)
		if above == dir {
			return false
		}
		dir = above
	}
}
