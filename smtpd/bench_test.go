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
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
)

// instantQueue stores nothing and answers from a goroutine of its own, as the queue does.
type instantQueue struct {
	waiting chan func(mail.ID, *smtp.Failure)
}

func (q *instantQueue) Submit(
	_ *mail.Envelope, c *mail.Content, done func(mail.ID, *smtp.Failure),
) {
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
	b.Run("silent", func(b *testing.B) { benchmarkServer(b, maillog.Discard) })
	b.Run("logged", func(b *testing.B) { benchmarkServer(b, unread{maillog.Discard}) })
}

// unread is a log of which the server does not know that nobody reads it.
type unread struct{ maillog.Sink }

func benchmarkServer(b *testing.B, log maillog.Sink) {
	engine, err := eventloop.Start(eventloop.Options{Loops: 1, Logf: b.Logf})
	if err != nil {
		b.Fatal(err)
	}
	q := &instantQueue{make(chan func(mail.ID, *smtp.Failure), 1024)}
	go q.run()
	defer close(q.waiting)
	srv := testServer(b, func(o *Options) {
		o.Engine, o.Submitter, o.Log, o.Limits.Transactions = engine, q, log, 1<<40
	})
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
	data := "Subject: x\r\nMessage-ID: <20260302101110.1@origin.example>\r\n\r\n" +
		strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57) + ".\r\n"
	steps := []string{"MAIL FROM:<sender@origin.example>\r\n" +
		"RCPT TO:<u@relayed.example>\r\nDATA\r\n", data}
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

// typicalHeader is what a relayed message comes with.
var typicalHeader = []byte(
	"Received: from mail.origin.example (mail.origin.example [192.0.2.1])\r\n" +
		"\tby mx.relay.example with ESMTPS id 4bXyZ12QhLz9sWv; Mon, 2 Mar 2026 10:11:12 +0000 " +
		"(UTC)\r\n" +
		"Received: from [10.0.0.7] (client.origin.example [192.0.2.77])\r\n" +
		"\tby mail.origin.example with ESMTPSA id 4bXyZ02QhLz9sWv; " +
		"Mon, 2 Mar 2026 10:11:11 +0000 " +
		"(UTC)\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=origin.example; s=s1;\r\n" +
		"\tt=1772446271; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n" +
		"\th=Date:From:To:Subject:Message-ID;\r\n" +
		"\tb=" + strings.Repeat(
		"dGhpcyBpcyBub3QgYSBzaWduYXR1cmUgYnV0IHRoZSBzYW1lIHNpemUgYXMgb25l\r\n\t", 5) + "=\r\n" +
		"Date: Mon, 2 Mar 2026 10:11:10 +0000\r\nFrom: Alice Example <alice@origin.example>\r\n" +
		"To: Bob Example <bob@relayed.example>, Carol Example <carol@relayed.example>\r\n" +
		"Subject: A subject of the usual length for a message\r\nMessage-ID: " +
		"<20260302101110.12345@origin.example>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: " +
		"multipart/alternative;\r\n\tboundary=\"----=_Part_12345_678901234.1772446270\"\r\n" +
		"X-Mailer: Example Mailer 12.3\r\nList-Unsubscribe: " +
		"<https://origin.example/u/0123456789abcdef>\r\n\r\n")

// BenchmarkHeader is the header of one message through the receiver, in one piece and in pieces of
// 100 octets.
func BenchmarkHeader(b *testing.B) {
	for name, size := range map[string]int{"whole": len(typicalHeader), "pieces": 100} {
		b.Run(name, func(b *testing.B) {
			srv := testServer(b, func(o *Options) { o.CampaignHeader = "X-Campaign" })
			b.SetBytes(int64(len(typicalHeader)))
			b.ReportAllocs()
			for b.Loop() {
				r := newReceiver(srv.listener(ListenerOptions{}), srv.settings.Load(),
					mail.Body8BitMIME, &inbound.Part{})
				for p := typicalHeader; len(p) > 0; {
					n := min(size, len(p))
					r.store(p[:n])
					p = p[n:]
				}
				r.discard()
			}
		})
	}
}
