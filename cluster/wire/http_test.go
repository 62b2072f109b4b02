package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestBodiesBothWays: a request's body and its answer's flow at the same time, for as long as both
// like.
func TestBodiesBothWays(t *testing.T) {
	w := newWorld(t)
	a, b := w.port(1), w.port(2)
	serve(t, b, func(rw http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(rw)
		if err := control.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(rw, "%s!\n", lines.Text())
			if err := control.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	read, write := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", "http://2/echo", read)
	if err != nil {
		t.Fatal(err)
	}
	go io.WriteString(write, "0\n")
	resp, err := a.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewScanner(resp.Body)
	for i := range 1000 {
		if want := fmt.Sprintf("%d!", i); !answers.Scan() || answers.Text() != want {
			t.Fatalf("got %q, not %q: %v", answers.Text(), want, answers.Err())
		}
		if _, err := fmt.Fprintf(write, "%d\n", i+1); err != nil {
			t.Fatal(err)
		}
	}
	write.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

// TestLargeBodies: content goes both ways unharmed.
func TestLargeBodies(t *testing.T) {
	w := newWorld(t)
	a, b := w.port(1), w.port(2)
	serve(t, b, func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		rw.Write(body)
	})
	body := strings.Repeat("0123456789abcdef", 1<<18)
	resp, err := a.Client().Post("http://2/", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != body {
		t.Errorf("%d octets came back of %d: %v", len(got), len(body), err)
	}
}

func TestClientGoesOnlyToMembers(t *testing.T) {
	w := newWorld(t)
	a, b := w.port(1), w.port(2)
	serve(t, b, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "http://3/elsewhere", http.StatusFound)
	})
	for _, url := range []string{"http://localhost/", "http://127.0.0.1:80/", "http://0/",
		"http://02/", "http://2:81/", "http://65536/", "https://2/"} {
		if resp, err := a.Client().Get(url); err == nil {
			resp.Body.Close()
			t.Errorf("%s was fetched", url)
		}
	}
	resp, err := a.Client().Get("http://2/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("a redirect was followed: %s", resp.Status)
	}
}

// TestPartition: Dial is where a test cuts the net; the connections that there are break with
// theirs.
func TestPartition(t *testing.T) {
	w := newWorld(t)
	var cut atomic.Bool
	var mu sync.Mutex
	var raws []net.Conn
	a := w.port(1, func(o *Options) {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if cut.Load() {
				return nil, errors.New("partitioned")
			}
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			mu.Lock()
			raws = append(raws, c)
			mu.Unlock()
			return c, err
		}
	})
	b := w.port(2)
	serve(t, b, func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "ok") })
	get := func() error {
		resp, err := a.Client().Get("http://2/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	cut.Store(true)
	mu.Lock()
	for _, c := range raws {
		c.Close()
	}
	mu.Unlock()
	if err := get(); err == nil || !strings.Contains(err.Error(), "partitioned") {
		t.Errorf("through a partition: %v", err)
	}
	cut.Store(false)
	if err := get(); err != nil {
		t.Errorf("after it healed: %v", err)
	}
}
