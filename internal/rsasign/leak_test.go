package rsasign

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// resident returns the octets of memory that this process has, of C as well as of Go.
func resident(t *testing.T) int {
	t.Helper()
	stat, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skipf("skipped: no /proc here: %v", err)
	}
	var size, pages int
	if _, err := fmt.Fscan(bytes.NewReader(stat), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// grown returns by how much the process grows while f runs, after it has run once for what is kept
// for good.
func grown(t *testing.T, f func()) int {
	f()
	runtime.GC()
	before := resident(t)
	f()
	runtime.GC()
	return resident(t) - before
}

// TestSignaturesLeakNothing: a leak of 512 octets a signature, less than a context has, would show.
// POSTROAD_LONG=1 makes a million, where one of 32 would.
func TestSignaturesLeakNothing(t *testing.T) {
	k := parsed(t, 1024)
	n, most := 4000, 3<<19
	if os.Getenv("POSTROAD_LONG") != "" {
		n, most = 1_000_000, 32<<20
	}
	var sig []byte
	start := time.Now()
	if got := grown(t, func() {
		for i := range n {
			var err error
			if sig, err = k.Append(sig[:0], digestOf(i)); err != nil {
				t.Fatal(err)
			}
		}
	}); got > most {
		t.Errorf("%d signatures took %d KiB", n, got>>10)
	} else {
		t.Logf("%d signatures: %d KiB, %v", n, got>>10, time.Since(start))
	}
}

// TestKeysLeakNothing: keys that are closed, that nobody closes, and that are refused, are freed.
func TestKeysLeakNothing(t *testing.T) {
	good := x509.MarshalPKCS1PrivateKey(generate(t, 1024))
	const n, most = 500, 2 << 20 // a key has some 6 KiB
	for what, f := range map[string]func(){
		"closed": func() {
			k, err := Parse(good)
			if err != nil {
				t.Fatal(err)
			}
			k.Close()
		},
		"lost": func() {
			if _, err := Parse(good); err != nil {
				t.Fatal(err)
			}
		},
		"refused": func() {
			if _, err := Parse(good[:len(good)-1]); err == nil {
				t.Fatal("no error")
			}
			if _, err := Parse(short); err == nil {
				t.Fatal("no error")
			}
		},
	} {
		got := grown(t, func() {
			for i := range n {
				if f(); i%100 == 0 {
					runtime.GC()
				}
			}
		})
		if got > most {
			t.Errorf("%d keys that are %s took %d KiB", n, what, got>>10)
		}
		t.Logf("%d keys that are %s: %d KiB", n, what, got>>10)
	}
}
