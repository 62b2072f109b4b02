package smtpclient

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

// Ten thousand connections that lie idle after a transaction hold no buffers.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const n, limit = 2000, 1536
	words := "220 x\r\n~250-x\r\n250 PIPELINING\r\n~250 ok\r\n250 ok\r\n354 go\r\n~250 ok\r\n"
	conns := make([]*Conn, n)
	o := make([]*Options, n)
	tx := newTx("a@example.org")
	for i := range conns {
		o[i] = &Options{Hello: "c", TLS: Off, Dial: (&said{words: words2(words)}).dial}
	}
	before := heap()
	for i := range conns {
		conns[i], _ = Dial(t.Context(), o[i])
		if res := conns[i].Deliver(tx); !res.Recipients[0].OK() {
			t.Fatal(verdict(res))
		}
	}
	if each := int(heap()-before) / n; each > limit {
		t.Errorf("%d octets each, want at most %d", each, limit)
	}
	runtime.KeepAlive(conns)
	runtime.KeepAlive(o)
}

func words2(s string) (w [][]byte) {
	for _, p := range strings.Split(s, "~") {
		w = append(w, []byte(p))
	}
	return w
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// windowed counts the commands that are without their reply.
type windowed struct {
	said
	sent, most int
}

func (w *windowed) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("EHLO")) && !bytes.HasSuffix(p, []byte(".\r\n")) {
		w.sent += bytes.Count(p, []byte("\r\n"))
		w.most = max(w.most, w.sent)
	}
	return w.said.Write(p)
}

func (w *windowed) Read(p []byte) (int, error) {
	n, err := w.said.Read(p)
	w.sent = max(0, w.sent-bytes.Count(p[:n], []byte("250 ok\r\n")))
	return n, err
}

// Never are more than a window's commands under way: else both sides might wait for the other to
// read.
func TestWindow(t *testing.T) {
	w := &windowed{}
	w.words = words2("220 x\r\n~250-x\r\n250 PIPELINING\r\n~" + strings.Repeat("250 ok\r\n", 1001) +
		"354 go\r\n~250 ok\r\n")
	w.words = append(w.words[:2:2], chop(w.words[2], 8*window)...)
	w.words = append(w.words, []byte("250 ok\r\n"))
	conn, err := Dial(t.Context(),
		&Options{Hello: "c", TLS: Off,
			Dial: func(context.Context, netip.AddrPort) (net.Conn, error) { return w, nil }})
	if err != nil {
		t.Fatal(err)
	}
	tx := newTx()
	for i := range 1000 {
		tx.Recipients = append(tx.Recipients,
			newTx(fmt.Sprintf("r%d@example.org", i)).Recipients[0])
	}
	conn.Deliver(tx)
	if w.most < window || w.most > window+2 {
		t.Fatalf("%d commands under way", w.most)
	}
}

func chop(b []byte, n int) (parts [][]byte) {
	for len(b) > n {
		parts, b = append(parts, b[:n]), b[n:]
	}
	return append(parts, b)
}

func TestMaxReply(t *testing.T) {
	for limit, want := range map[int]string{0: "clear", 200: "clear", 150: "4.5.0 greeting local"} {
		script := "S: 220-" + strings.Repeat("x", 150) + "\n"
		if want == "clear" {
			script += piped + cQuit
		} else {
			script += "S: 220 x\nhang"
		}
		o, _ := serve(t, script)
		o.MaxReply = limit
		conn, err := Dial(t.Context(), o)
		if got := verdictOf(conn, err); got != want {
			t.Errorf("limit %d: %s, want %s", limit, got, want)
		}
		if err == nil {
			conn.Quit()
		}
	}
}

// A thousand recipients go in windows, and each gets the reply that is its own.
func TestManyRecipients(t *testing.T) {
	const n = 1000
	var script strings.Builder
	script.WriteString(piped + cMail)
	tx := newTx()
	for i := range n {
		a := fmt.Sprintf("r%d@example.org", i)
		tx.Recipients = append(tx.Recipients, newTx(a).Recipients[0])
		fmt.Fprintf(&script, "C: RCPT TO:<%s>\n", a)
		if i%window < window-1 {
			continue
		}
		if i == n-1 {
			script.WriteString("C: DATA\n")
		}
		if i == window-1 {
			script.WriteString("S: 250 ok\n")
		}
		for j := i - window + 1; j <= i; j++ {
			if j%10 == 0 {
				fmt.Fprintf(&script, "S: 550 5.1.1 no r%d\n", j)
			} else {
				script.WriteString("S: 250 ok\n")
			}
		}
	}
	script.WriteString("S: 354 go\ndata\nS: 250 ok\n" + cQuit)
	o, kept := serve(t, script.String())
	conn := dial(t, o)
	res := conn.Deliver(tx)
	for i, s := range res.Recipients {
		if i%10 == 0 && s.Text != fmt.Sprintf("no r%d", i) || i%10 != 0 && !s.OK() {
			t.Fatalf("recipient %d: %+v", i, s)
		}
	}
	conn.Quit()
	kept()
}

// TestWordsOfThePeer: a peer's words reach log and report on one line, printable and bounded.
func TestWordsOfThePeer(t *testing.T) {
	o, _ := serve(t,
		piped+cMail+cOne+
			"C: DATA\nS> \"550-5.7.1 a\\x1b[2J\\x00\\r\\n550-5.7.1 \\xff\\xfe\\r\\n550 5.7.1 "+
			strings.Repeat("x", 1500)+"\\r\\n\"\nS: 503 no\nS: 503 no\n"+cQuit)
	conn := dial(t, o)
	res := conn.Deliver(newTx("a@example.org"))
	checkStatus(t, &res.Recipients[0])
	if s := res.Recipients[0]; s.Code != 550 || s.Enhanced != "5.7.1" ||
		!strings.HasPrefix(s.Text, "a?[2J? ?") {
		t.Fatalf("%+v", s)
	}
	conn.Quit()
}

// Conn's Err and Error's words name the step.
func TestErrorNamesItsStep(t *testing.T) {
	o, _ := serve(t, piped+cMail+cOne+"C: DATA\nclose")
	conn := dial(t, o)
	res := conn.Deliver(newTx("a@example.org"))
	if res.Err == nil || !strings.Contains(res.Err.Error(), "MAIL FROM") || conn.Err() == nil {
		t.Fatal(res.Err)
	}
	if s := res.Recipients[0]; s.Failure().Temporary() != s.Temporary() || !s.Temporary() {
		t.Fatalf("%+v", s)
	}
}
