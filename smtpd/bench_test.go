package smtpd

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// instantQueue stores nothing and answers from a goroutine of its own, as the queue does.
type instantQueue struct {
	waiting chan func(mail.ID, *smtp.Failure)
}

func (q *instantQueue) Submit(_ *mail.Envelope, c *mail.Content, done func(mail.ID, *smtp.Failure)) {
	c.Release()
	q.waiting <- done
}

func (q *instantQueue) run() {
	for done := range q.waiting {
		done(mail.ID{9: 1}, nil)
	}
}

// BenchmarkServer is one message of 4 KiB over a loopback socket, 20 connections that wait for each
// reply group as smtp-source does. The client's share is in the figure.
func BenchmarkServer(b *testing.B) {
	engine, err := eventloop.Start(eventloop.Options{Loops: 1, Logf: b.Logf})
	if err != nil {
		b.Fatal(err)
	}
	q := &instantQueue{make(chan func(mail.ID, *smtp.Failure), 1024)}
	go q.run()
	defer close(q.waiting)
	srv := testServer(b, func(o *Options) { o.Engine, o.Submitter, o.Limits.Transactions = engine, q, 1<<40 })
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if err := srv.Serve(socket, ListenerOptions{}); err != nil {
		b.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		engine.Shutdown(ctx)
	}()
	data := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57) + ".\r\n"
	steps := []string{"MAIL FROM:<sender@origin.example>\r\nRCPT TO:<u@relayed.example>\r\nDATA\r\n", data}
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	ended := make(chan error)
	for range 20 {
		go func() { ended <- source(socket.Addr().String(), steps, &left) }()
	}
	for range 20 {
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
}

// source sends messages on one connection until none is left.
func source(address string, steps []string, left *atomic.Int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	read := func(lines int) error {
		for range lines {
			if _, err := in.ReadSlice('\n'); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read(1); err != nil {
		return err
	}
	io.WriteString(conn, "HELO client.example\r\n")
	if err := read(1); err != nil {
		return err
	}
	for left.Add(-1) >= 0 {
		for i, step := range steps {
			if _, err := io.WriteString(conn, step); err != nil {
				return err
			}
			if err := read(3 - 2*i); err != nil {
				return err
			}
		}
	}
	return nil
}
