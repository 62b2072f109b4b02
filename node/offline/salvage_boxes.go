package offline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/mailbox"
)

// salvageBoxes writes the messages of mailboxes that only this node has to files, for the operator
// to import: what of them the cluster has delivered once more meanwhile he can see, and a program
// cannot.
func (s *salvager) salvageBoxes(ctx context.Context, p *parted) error {
	store := mailbox.New(mailbox.Options{Shard: p.about.Shard, Shards: max(1, s.shards())})
	store.Open(p.group)
	for after := ""; ; {
		boxes, err := store.Mailboxes(after, 100)
		if err != nil || len(boxes) == 0 {
			return err
		}
		for i := range boxes {
			box := &boxes[i]
			err := store.Export(
				ctx,
				box.Ref,
				func(f *mailbox.Folder, m *mailbox.Message, r *mailbox.ContentReader) error {
					if r.Entry() < p.note.From {
						return nil
					}
					return s.saveMessage(box.Address, f, m, r)
				},
			)
			if err != nil {
				return fmt.Errorf("mailbox %s: %w", box.Address, err)
			}
		}
		after = boxes[len(boxes)-1].Address
	}
}

// saveMessage writes one message, whole or not at all.
func (s *salvager) saveMessage(
	address string,
	f *mailbox.Folder,
	m *mailbox.Message,
	r *mailbox.ContentReader,
) (err error) {
	head := new(bytes.Buffer)
	if _, err := io.CopyN(head, r, 16<<10); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	words := fmt.Sprintf(
		"mailbox %s, folder %s, UID %d, %s",
		cli.Clean(address),
		cli.Clean(f.Name),
		m.UID,
		origin(head.Bytes()),
	)
	s.saved++
	if s.List {
		s.print(words)
		return nil
	}
	if err := files.MakeDir(s.Save); err != nil {
		return err
	}
	name := filepath.Join(s.Save, fmt.Sprintf("%s.%d.%d.eml", safeName(address), f.Number, m.UID))
	out, err := os.OpenFile(name+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.MultiReader(head, r))
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = os.Rename(name+".part", name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	s.print(words + ": " + name)
	return nil
}

var (
	returnPath = regexp.MustCompile(`(?im)^return-path:\s*(<[^>\r\n]*>)`)
	receivedID = regexp.MustCompile(`\bid ([0-9a-z]{16})\b`)
)

// origin is sender and queue ID of a message, as its first lines have them.
func origin(head []byte) string {
	words := "from an unknown sender"
	if m := returnPath.FindSubmatch(head); m != nil {
		words = "from " + cli.Clean(string(m[1]))
	}
	if m := receivedID.FindSubmatch(head); m != nil {
		words = string(m[1]) + " " + words
	}
	return words
}

// safeName is an address as a part of a file's name.
func safeName(address string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == 0 || r == filepath.Separator {
			return '_'
		}
		return r
	}, strings.TrimLeft(address, "."))
}
