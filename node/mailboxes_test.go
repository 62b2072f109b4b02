package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
	"github.com/postroad/postroad/mailbox"
)

// boxNodes are nodes in this process, with four shards of mailboxes, and users at example.net.
type boxNodes struct {
	t   *testing.T
	ctx context.Context
	all []*node
}

func startBoxNodes(t *testing.T, count int) *boxNodes {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	b := &boxNodes{t: t, ctx: ctx}
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("a token that nobody guesses\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ports, err := mailtest.FreeAddrs("127.0.0.1", count)
	if err != nil {
		t.Fatal(err)
	}
	for i, port := range ports {
		text := fmt.Sprintf("[node]\nname = \"mx%d\"\nhostname = \"mx%d.example.net\"\n"+
			"data_dir = %q\n[[listener]]\naddress = \"127.0.0.1:0\"\n"+
			"[local]\ndomains = [\"example.net\"]\n[admin]\naddress = \"\"\n"+
			"[dns]\nservers = [\"127.0.0.1:1\"]\n[cluster]\nmailbox_shards = 4\n",
			i+1, i+1, filepath.Join(dir, fmt.Sprint("mx", i+1)))
		if count > 1 {
			text += fmt.Sprintf("listen = %q\njoin = [%q]\ntoken_file = %q\n", port, ports[0],
				token)
		}
		file := filepath.Join(dir, fmt.Sprintf("mx%d.toml", i+1))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := startNode(ctx, file, cfg)
		if err != nil {
			t.Fatal(err)
		}
		b.all = append(b.all, n)
		t.Cleanup(func() { n.stop(context.Background()) })
	}
	b.await("shards that all nodes serve", func() bool {
		_ = b.all[0].makeShards(ctx) // until all nodes speak the protocol
		owned := 0
		for _, n := range b.all {
			for s := range n.boxes.Shards() {
				if h := n.shard(s); h != nil && h.Owned() {
					owned++
				}
			}
		}
		return owned == 4
	})
	return b
}

func (b *boxNodes) await(what string, so func() bool) {
	b.t.Helper()
	for !so() {
		if !clock.Pause(b.ctx, 20*time.Millisecond) {
			b.t.Fatalf("there were never %s", what)
		}
	}
}

func (b *boxNodes) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// user adds a user to the directory, whom all nodes then know.
func (b *boxNodes) user(address string) {
	b.t.Helper()
	b.ok(b.all[0].editor.Add(b.ctx, address, "pw", directory.Settings{}))
	for _, n := range b.all {
		b.await("news of a user", func() bool { _, ok := n.mailboxSettings(address); return ok })
	}
}

func (b *boxNodes) append(
	n *node, key mailbox.AppendKey, address, content string,
) (mailbox.Result, error) {
	shard, err := n.boxes.Shard(address)
	b.ok(err)
	type outcome struct {
		r   []mailbox.Result
		err error
	}
	c := make(chan outcome, 1)
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	n.boxes.Append(shard, &mailbox.Delivery{
		Content: mailbox.Content{Size: int64(len(content)), Open: open},
		Items:   []mailbox.Item{{Key: key, Mailbox: address, Prefix: []byte(deliveredTo(address))}},
	}, func(r []mailbox.Result, err error) { c <- outcome{r, err} })
	o := <-c
	if o.err != nil {
		return mailbox.Result{}, o.err
	}
	return o.r[0], nil
}

// deliveredTo is the line in front of a message.
func deliveredTo(address string) string { return "Delivered-To: " + address + "\r\n" }

// keyOf is that of a message of today.
func keyOf(number uint32) mailbox.AppendKey {
	id := mail.FloorID(time.Now().Add(-time.Minute).Truncate(time.Hour))
	id[8], id[9] = byte(number>>8), byte(number)
	return mailbox.AppendKey{ID: id, Recipient: 2}
}

func (b *boxNodes) stored(n *node, number uint32, address, content string, want mailbox.Code) {
	b.t.Helper()
	b.storedAs(n, keyOf(number), address, content, want)
}

func (b *boxNodes) storedAs(
	n *node, key mailbox.AppendKey, address, content string, want mailbox.Code,
) {
	b.t.Helper()
	if r, err := b.append(n, key, address, content); err != nil || r.Code != want {
		b.t.Errorf("%s: message %v for %s: %+v %v, want code %d",
			n.cfg().Node.Name, key, address, r, err, want)
	}
}

// contents reads all messages of an inbox as a node has them.
func (b *boxNodes) contents(n *node, address string) (all []string) {
	b.t.Helper()
	box, err := n.boxes.Mailbox(b.ctx, address)
	b.ok(err)
	list, err := n.boxes.Messages(b.ctx, box.Ref, mailbox.Inbox)
	b.ok(err)
	for _, m := range list {
		r, size, err := n.boxes.Open(b.ctx, box.Ref, mailbox.Inbox, m.UID)
		b.ok(err)
		octets, err := io.ReadAll(r)
		b.ok(errors.Join(err, r.Close()))
		if size != m.Size || int64(len(octets)) != size {
			b.t.Errorf("%s: message %d of %s has %d octets, %d in the list, and %d came",
				n.cfg().Node.Name, m.UID, address, size, m.Size, len(octets))
		}
		all = append(all, strings.TrimPrefix(string(octets), deliveredTo(address)))
	}
	return all
}

func address(i int) string { return fmt.Sprintf("user%d@example.net", i) }

// TestMailboxesOfACluster: what one node does to a mailbox the others see, wherever its shard is
// owned, and also when a node is gone.
func TestMailboxesOfACluster(t *testing.T) {
	b := startBoxNodes(t, 4) // of which three have each shard
	const boxes, messages = 12, 240
	for i := range boxes {
		n := b.all[i%4]
		b.ok(n.boxes.Create(b.ctx, address(i), mailbox.Settings{Hard: 1 << 30}))
		b.ok(n.boxes.Create(b.ctx, address(i), mailbox.Settings{}))
	}
	want := make([][]string, boxes)
	var all sync.WaitGroup
	for i := range messages {
		content := strings.Repeat(fmt.Sprintf("%d\r\n", i), 1+i*7)
		if i < boxes {
			// over a piece; the last is chunks
			content = strings.Repeat("0123456789abcdef", 20_000+i)
		}
		if i == 0 {
			content = strings.Repeat(content, 5)
		}
		want[i%boxes] = append(want[i%boxes], content)
		all.Go(func() {
			b.stored(b.all[i/boxes%4], uint32(i), address(i%boxes), content, mailbox.Stored)
		})
	}
	all.Wait()
	for i := range boxes {
		slices.Sort(want[i])
		for _, n := range b.all {
			got := b.contents(n, address(i))
			if slices.Sort(got); !slices.Equal(got, want[i]) {
				t.Errorf("%s: %s has %d messages, want %d, or other ones",
					n.cfg().Node.Name, address(i), len(got), len(want[i]))
			}
		}
	}
	b.stored(b.all[1], 5000, "nobody@example.net", "x", mailbox.NoMailbox)
	b.ok(b.all[1].boxes.Configure(b.ctx, address(1), mailbox.Settings{Hard: 1}))
	b.stored(b.all[2], 5001, address(1), "x", mailbox.Full)
	for _, n := range b.all {
		b.await("news of a quota", func() bool {
			return errors.Is(n.boxes.Room(address(1), 1), mailbox.ErrFull)
		})
	}
	b.locks()
	b.archives(address(0), want[0])

	gone := b.all[2]
	b.ok(gone.stop(b.ctx))
	b.all = slices.Delete(b.all, 2, 3)
	for i := range messages {
		b.stored(b.all[i%3], uint32(i), address(i%boxes), "again", mailbox.Duplicate)
	}
	for i := range boxes {
		if i == 1 {
			continue
		}
		b.stored(b.all[i%3], uint32(6000+i), address(i), "after", mailbox.Stored)
	}
}

// locks: the maildrop lock is one for the cluster.
func (b *boxNodes) locks() {
	b.t.Helper()
	const fresh = "fresh@example.net"
	b.user(fresh)
	id, err := b.all[0].boxes.Lock(b.ctx, fresh) // makes it
	b.ok(err)
	if _, err := b.all[1].boxes.Lock(b.ctx, fresh); !errors.Is(err, mailbox.ErrLocked) {
		b.t.Errorf("a second lock: %v", err)
	}
	b.stored(b.all[1], 7000, fresh, "one", mailbox.Stored)
	b.stored(b.all[2], 7001, fresh, "two", mailbox.Stored)
	b.ok(b.all[2].boxes.Renew(b.ctx, id))
	b.ok(b.all[2].boxes.Update(b.ctx, id, []mailbox.UID{1}))
	for _, n := range b.all {
		if got := b.contents(n, fresh); !slices.Equal(got, []string{"two"}) {
			b.t.Errorf("%s: after an update: %q", n.cfg().Node.Name, got)
		}
	}
	for _, n := range b.all {
		n.boxes.Unlock(id)
	}
	b.await("a lock that was given back", func() bool {
		id, err := b.all[1].boxes.Lock(b.ctx, fresh)
		if err == nil {
			b.all[1].boxes.Unlock(id)
		}
		return err == nil
	})
	_, err = b.all[1].boxes.Lock(b.ctx, "nobody@example.org")
	if !errors.Is(err, mailbox.ErrNoMailbox) {
		b.t.Errorf("the mailbox of nobody: %v", err)
	}
}

// archives: what one node exports another imports.
func (b *boxNodes) archives(from string, want []string) {
	b.t.Helper()
	const to = "copy@example.net"
	b.user(to)
	var stream bytes.Buffer
	b.ok(b.all[0].operatorsMailboxes().Export(b.ctx, from, &stream))
	var told int64
	n, err := b.all[1].operatorsMailboxes().Import(b.ctx, to, 0, &stream,
		func(n int64) { told = n })
	if err != nil || n != int64(len(want)) || told != n {
		b.t.Errorf("%d of %d messages were imported (%d told): %v", n, len(want), told, err)
	}
	var first, second bytes.Buffer
	b.ok(b.all[2].operatorsMailboxes().Export(b.ctx, from, &first))
	b.ok(b.all[2].operatorsMailboxes().Export(b.ctx, to, &second))
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		b.t.Errorf("an export of %d octets was imported, and the export of that has %d",
			first.Len(), second.Len())
	}
	cut := io.LimitReader(bytes.NewReader(first.Bytes()), int64(first.Len()-30))
	n, err = b.all[1].operatorsMailboxes().Import(b.ctx, to, 1, cut, func(int64) {})
	if err == nil || n < 1 {
		b.t.Errorf("a stream that was cut off: %d messages, %v", n, err)
	}
	addresses := []string{}
	b.ok(b.all[0].operatorsMailboxes().Each(b.ctx, func(m *mailbox.Mailbox) bool {
		addresses = append(addresses, m.Address)
		return true
	}))
	if len(addresses) != 14 || !slices.IsSorted(addresses) {
		b.t.Errorf("the list of mailboxes is %q", addresses)
	}
	_, _, err = b.all[0].operatorsMailboxes().Show(b.ctx, "nobody@example.net")
	if !errors.Is(err, mailbox.ErrNoMailbox) {
		b.t.Errorf("a mailbox that is not there: %v", err)
	}
}

// TestPending: what the owner of a queue group says of recipients is what its queue has still to
// deliver.
func TestPending(t *testing.T) {
	b := startBoxNodes(t, 1)
	n := b.all[0]
	waiting := b.submit(n, "somebody@elsewhere.example")
	group := n.home.Load().ID()
	got, err := n.pending(group, []mailbox.DedupRecord{
		{ID: keyOf(1).ID, Recipient: 2}, {ID: waiting}, {ID: waiting, Recipient: 1},
	})
	if err != nil || !bytes.Equal(got, []byte{0, 1, 0}) {
		t.Errorf("pending: %v, %v; want 0 1 0", got, err)
	}
	if got, err := n.pending(group+100, nil); !errors.Is(err, errNotHome) {
		t.Errorf("a group that is elsewhere: %v, %v", got, err)
	}
}

// submit puts a message into the queue that will stay there: nobody answers for DNS.
func (b *boxNodes) submit(n *node, recipient string) mail.ID {
	b.t.Helper()
	done := make(chan mail.ID, 1)
	to := mail.Recipient{Address: recipient, Domain: mail.DomainOf(recipient)}
	env := &mail.Envelope{Sender: "a@example.net", Recipients: []mail.Recipient{to}}
	content := &mail.Content{Chunks: [][]byte{[]byte("x\r\n")}, Size: 3}
	front{n}.Submit(env, content, func(id mail.ID, f *smtp.Failure) {
		if f != nil {
			b.t.Error(f)
		}
		done <- id
	})
	return <-done
}
