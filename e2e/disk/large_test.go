package disk

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// stranger sends one message of some size from an address, and returns the reply that it ended
// with. declare: with SIZE.
func stranger(
	ctx context.Context, source, to, recipient string, size int, declare bool,
) (string, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := bufio.NewReader(conn)
	parameter := ""
	if declare {
		parameter = " SIZE=" + strconv.Itoa(size)
	}
	reply := ""
	for _, line := range []string{"", "EHLO stranger.example",
		"MAIL FROM:<a@b.example>" + parameter, "RCPT TO:<" + recipient + ">", "DATA"} {
		if line != "" {
			fmt.Fprintf(conn, "%s\r\n", line)
		}
		if reply, err = answer(in); err != nil || reply[0] > '3' {
			return reply, err
		}
	}
	text := []byte(strings.Repeat(strings.Repeat("x", 998)+"\r\n", 64))
	fmt.Fprint(conn, "Subject: large\r\n\r\n")
	for sent := 0; sent < size-len(text); sent += len(text) {
		if _, err := conn.Write(text); err != nil {
			break // it may have been told that it is refused
		}
	}
	fmt.Fprint(conn, ".\r\n")
	return answer(in)
}

func answer(in *bufio.Reader) (string, error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil || len(line) < 4 {
			return "", fmt.Errorf("%q: %w", line, err)
		}
		if line[3] != '-' {
			return line, nil
		}
	}
}

// TestLargeMailFromStrangers sends 200 messages of 50 MiB at once, from many networks, to a node
// whose disk of 365 MB has room for a few: the others get 452, the node stays alive, takes small
// mail meanwhile, and nothing that it acknowledged is lost.
func TestLargeMailFromStrangers(t *testing.T) {
	w := kit.NewWorld(t, 1, mailtest.SinkOptions{})
	n := kit.NewNode(t, kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port(),
		Extra: "[events]\nfile = \"events.log\"\n",
		Relay: "networks = [\"127.0.0.1/32\"]\ndomains = [\"" + w.Domains[0] + "\"]"})
	seen := smallDisk(t, n, "size=365m")
	n.Start()
	awaitReserve(t, seen)
	inside(n, "suspend", "--domain", w.Domains[0], "--reason", "for a test")
	count, size := 200, 50<<20
	if v, err := strconv.Atoi(os.Getenv("LARGE_COUNT")); err == nil {
		count = v
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var mu sync.Mutex
	replies, accepted := map[string]int{}, map[string]bool{}
	send := func(source, to string, size int, declare bool) {
		reply, err := stranger(ctx, source, n.Relay, to, size, declare)
		if err != nil {
			reply = "no reply at all"
		}
		mu.Lock()
		defer mu.Unlock()
		replies[reply[:min(len(reply), 9)]]++
		if strings.HasPrefix(reply, "250") {
			accepted[to] = true
		}
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, 50)
	for i := range count {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			send(fmt.Sprintf("127.9.%d.1", i%100), fmt.Sprintf("large%d@%s", i, w.Domains[0]), size,
				i%5 > 0)
		})
	}
	for i := range 20 { // from one network, that cannot have all
		all.Go(func() {
			send("127.8.0.1", fmt.Sprintf("one%d@%s", i, w.Domains[0]), 12<<20, true)
		})
	}
	all.Wait()
	if status, _ := says(n, "/livez"); status != http.StatusOK {
		t.Fatalf("after %v the node is not alive:\n%s", replies, n.Log())
	}
	t.Logf("replies: %v", replies)
	for reply := range replies {
		if !strings.HasPrefix(reply, "250") && !strings.HasPrefix(reply, "452 4.3.1") {
			t.Errorf("a stranger got %q", reply)
		}
	}
	send("127.7.0.1", "small@"+w.Domains[0], 0, false)
	if !accepted["small@"+w.Domains[0]] {
		t.Errorf("small mail is refused: %v", replies)
	}
	n.Kill()
	n.Start()
	inside(n, "resume", "--domain", w.Domains[0])
	kit.Eventually(t, time.Minute, func() bool {
		for _, d := range w.Sink.Deliveries() {
			for _, r := range d.Recipients {
				delete(accepted, r)
			}
		}
		return len(accepted) == 0
	}, func() string { return fmt.Sprintf("acknowledged and lost: %v\n%s", accepted, n.Log()) })
}
