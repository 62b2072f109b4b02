package operator

import "testing"

func TestOctets(t *testing.T) {
	for n, want := range map[int64]string{0: "0 octets", 1: "1 octet", 1 << 10: "1.0 KiB",
		1<<20 - 1: "1024.0 KiB", 1 << 20: "1.0 MiB", 5 << 39: "2.5 TiB", 1 << 62: "4194304.0 TiB"} {
		if got := octets(n); got != want {
			t.Errorf("%d: %s, not %s", n, got, want)
		}
	}
}
