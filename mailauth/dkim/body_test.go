package dkim

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// FuzzBodyHash: the hashes are those of the plain reference, at any write boundaries and again
// after a Reset, and bare line ends are told of.
func FuzzBodyHash(f *testing.F) {
	for i, s := range []string{"", "\r\n", "\r\n\r\n", " \t\r\n\r\n", "x", "x\r\n\r\ny\r\n\r\n",
		"\r", "\n", "a\nb\r\n", "a\rb\r\n", " a  b\t c \r\n\t\r\n", "12345678  9\r\n"} {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 2))
		h := NewBodyHash(Simple, Relaxed)
		for range 2 {
			for rest := body; len(rest) > 0; {
				n := 1 + random.IntN(min(len(rest), 40))
				h.Write(rest[:n])
				rest = rest[n:]
			}
			bare := bytes.ContainsAny(bytes.ReplaceAll(body, []byte("\r\n"), nil), "\r\n")
			for _, form := range []Canon{Simple, Relaxed, Simple} {
				sum, err := h.Sum(form)
				want := sha256.Sum256([]byte(reference(string(body), form)))
				if sum != want || bare != errors.Is(err, ErrLineEnds) {
					t.Fatalf("%q, %v: %x, %v, want %x, bare %v", body, form, sum, err, want, bare)
				}
			}
			h.Reset()
		}
	})
}

func TestBodyHashOfOtherForm(t *testing.T) {
	h := NewBodyHash()
	if _, err := h.Sum(Relaxed); err != nil {
		t.Error(err)
	}
	if _, err := h.Sum(Simple); err == nil || !strings.Contains(err.Error(), "simple") {
		t.Errorf("a hash that was not made: %v", err)
	}
}

// TestBodyHashAllocates nothing for a message when it is used again.
func TestBodyHashAllocates(t *testing.T) {
	h := NewBodyHash(Relaxed, Simple)
	body := []byte(mailBody(8 << 10))
	if n := testing.AllocsPerRun(50, func() {
		h.Reset()
		for rest := body; len(rest) > 0; rest = rest[min(1000, len(rest)):] {
			h.Write(rest[:min(1000, len(rest))])
		}
		h.Sum(Relaxed)
		h.Sum(Simple)
	}); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// mailBody is text as people write it, of about n octets.
func mailBody(n int) string {
	const line = "This is a line of text as people write it, with words of the usual length.\r\n"
	return strings.Repeat(strings.Repeat(line, 5)+"\r\n", n/(5*len(line))+1)
}

// TestBodyHashSpeed measures the processor time of a body's hash against that of SHA-256 alone, in
// turns in one run.
func TestBodyHashSpeed(t *testing.T) {
	if os.Getenv("POSTROAD_LONG") == "" {
		t.Skip("skipped: POSTROAD_LONG=1 measures")
	}
	body := []byte(mailBody(256 << 10))
	plain := func() { sha256.Sum256(body) }
	for _, form := range []Canon{Simple, Relaxed} {
		h := NewBodyHash(form)
		ours := func() {
			h.Reset()
			for rest := body; len(rest) > 0; rest = rest[min(16<<10, len(rest)):] {
				h.Write(rest[:min(16<<10, len(rest))])
			}
			h.Sum(form)
		}
		var took [2]time.Duration
		for range 50 {
			for i, f := range []func(){plain, ours} {
				start := processorTime(t)
				for range 10 {
					f()
				}
				took[i] += processorTime(t) - start
			}
		}
		speed := func(d time.Duration) float64 {
			return float64(len(body)) * 500 / d.Seconds() / 1e6
		}
		t.Logf("%v: %.0f MB/s, SHA-256 alone %.0f MB/s, ratio %.2f", form, speed(took[1]),
			speed(took[0]), float64(took[0])/float64(took[1]))
	}
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkBodyHash(b *testing.B) {
	body := []byte(mailBody(256 << 10))
	b.Run("SHA-256 alone", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			sha256.Sum256(body)
		}
	})
	for _, forms := range [][]Canon{{Simple}, {Relaxed}, {Simple, Relaxed}} {
		b.Run(fmt.Sprint(forms), func(b *testing.B) {
			h := NewBodyHash(forms...)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				h.Reset()
				h.Write(body)
				for _, f := range forms {
					h.Sum(f)
				}
			}
		})
	}
}
