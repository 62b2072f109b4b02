package eventloop

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileLimit raises the soft limit of open files to the hard one and returns it.
func fileLimit() (int, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("reading the limit of open files: %w", err)
	}
	if r.Cur < r.Max {
		raised := unix.Rlimit{Cur: r.Max, Max: r.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil { // else we live with the soft limit
			r = raised
		}
	}
	return int(min(r.Cur, 1<<24)), nil
}

// connectionCap returns how many connections there may be so that reserve descriptors remain of
// limit. want 0 asks for as many as possible; reserve 0 is a quarter of the limit.
func connectionCap(limit, reserve, want int) (int, error) {
	if reserve == 0 {
		reserve = limit / 4
	}
	room := limit - reserve
	if room < 1 {
		return 0, fmt.Errorf(
			"no descriptors left for connections: limit %d, reserved %d; raise RLIMIT_NOFILE",
			limit, reserve)
	}
	if want == 0 || want > room {
		return room, nil
	}
	return want, nil
}
