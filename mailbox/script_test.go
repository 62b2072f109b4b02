package mailbox

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/testkit/golden"
)

// TestScripts replays testdata/script/*.txt. A script is blocks of commands, a line of dashes, what
// the commands answered and what the shard is like after them. Users are named without their
// domain, folders by their name.
//
//	create USER [soft=N] [hard=N] [retention=5m] | settings ... | remove USER | rename USER TO
//	mkdir USER FOLDER | mv USER FOLDER TO | rmdir USER FOLDER | options USER FOLDER [subscribed] [retention=5m]
//	append KEY TEXT USER[/FOLDER]...      KEY - : none; the recipients are numbered
//	forget KEY RECIPIENT#
//	flags USER FOLDER set|add|remove FLAGS UID... | expunge USER FOLDER UID... | copy | move USER FOLDER TO UID...
//	lock USER | update USER UID... | unlock USER | clock 5m | sweep | owner (another term)
func TestScripts(t *testing.T) {
	golden.Scripts(t, "testdata/script/*.txt", func(t *testing.T, text string) string {
		s := &script{bed: newBed(t, Options{Proposers: 1}).start(), locks: map[string]LockID{}}
		return s.run(text)
	})
}

type script struct {
	*bed
	locks map[string]LockID
}

func (s *script) run(text string) string {
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		fmt.Fprintf(&out, "%s\n----\n", commands)
		for _, line := range strings.Split(commands, "\n") {
			if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
				if answer := s.command(words[0], words[1:]); answer != "" {
					fmt.Fprintf(&out, "%s: %s\n", words[0], answer)
				}
			}
		}
		out.WriteString(s.dump() + "\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// box is a mailbox by its user's name; one that is not there has a number that no mailbox has.
func (s *script) box(user string) Ref {
	m, err := s.s.Mailbox(user + "@example.net")
	if err != nil {
		return Ref{user + "@example.net", 1 << 31}
	}
	return m.Ref
}

func (s *script) folder(box Ref, name string) uint32 {
	f, _ := s.s.FolderNamed(box, name)
	return f.Number
}

func (s *script) number(word string) int {
	s.t.Helper()
	n, err := strconv.Atoi(word)
	s.ok(err)
	return n
}

func (s *script) uids(words []string) (uids []UID) {
	for _, w := range words {
		uids = append(uids, UID(s.number(w)))
	}
	return uids
}

func (s *script) settings(words []string) (set Settings) {
	for _, w := range words {
		switch name, value, _ := strings.Cut(w, "="); name {
		case "soft":
			set.Soft = int64(s.number(value))
		case "hard":
			set.Hard = int64(s.number(value))
		case "retention":
			d, err := time.ParseDuration(value)
			s.ok(err)
			set.Retention = d
		}
	}
	return set
}

var flagNames = []string{"seen", "answered", "flagged", "deleted", "draft"}

func flagsOf(words string) (f Flags) {
	for i, name := range flagNames {
		if strings.Contains(words, name) {
			f |= 1 << i
		}
	}
	return f
}

func said(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func (s *script) command(verb string, args []string) string {
	switch verb {
	case "clock":
		d, err := time.ParseDuration(args[0])
		s.ok(err)
		s.c.add(d)
		return ""
	case "sweep":
		return said(s.s.Sweep(s.t.Context()))
	case "owner":
		s.s.Abandon()
		return said(s.s.Start(s.t.Context(), s.g, s.h))
	case "append":
		return s.append(args)
	case "forget":
		return said(
			s.s.DropDedupRecords([]DedupRecord{{mail.ID{args[0][0]}, uint32(s.number(args[1]))}}),
		)
	}
	box, ctx := s.box(args[0]), s.t.Context()
	switch verb {
	case "create":
		_, err := s.s.CreateMailbox(ctx, box.Address, s.settings(args[1:]))
		return said(err)
	case "settings":
		return said(s.s.SetSettings(ctx, box, s.settings(args[1:])))
	case "remove":
		return said(s.s.RemoveMailbox(ctx, box))
	case "rename":
		return said(s.s.RenameMailbox(ctx, box, args[1]+"@example.net"))
	case "mkdir":
		_, err := s.s.CreateFolder(ctx, box, args[1])
		return said(err)
	case "lock":
		id, err := s.s.Lock(ctx, box.Address)
		if err == nil {
			s.locks[args[0]] = id
		}
		return said(err)
	case "update":
		return said(s.s.Update(ctx, s.locks[args[0]], s.uids(args[1:])))
	case "unlock":
		s.s.Unlock(s.locks[args[0]])
		return ""
	}
	return s.inFolder(verb, box, args[1:])
}

func (s *script) inFolder(verb string, box Ref, args []string) string {
	ctx, folder, rest := s.t.Context(), s.folder(box, args[0]), args[1:]
	switch verb {
	case "mv":
		return said(s.s.RenameFolder(ctx, box, folder, rest[0]))
	case "rmdir":
		return said(s.s.DeleteFolder(ctx, box, folder))
	case "options":
		f := Folder{
			Number:     folder,
			Subscribed: strings.Contains(strings.Join(rest, " "), "subscribed"),
			Retention:  s.settings(rest).Retention,
		}
		return said(s.s.SetFolder(ctx, box, f))
	case "flags":
		op := map[string]FlagOp{"set": SetFlags, "add": AddFlags, "remove": RemoveFlags}[rest[0]]
		done, err := s.s.StoreFlags(
			ctx,
			box,
			folder,
			s.uids(rest[2:]),
			FlagChange{Op: op, Flags: flagsOf(rest[1])},
		)
		return fmt.Sprint(done.Changed, " changed ", said(err))
	case "expunge":
		n, err := s.s.Expunge(ctx, box, folder, s.uids(rest), false)
		return fmt.Sprint(n, " gone ", said(err))
	case "copy", "move":
		copied, err := s.s.Copy(
			ctx,
			box,
			folder,
			s.uids(rest[1:]),
			s.folder(box, rest[0]),
			verb == "move",
		)
		return fmt.Sprint(copied, said(err))
	}
	s.t.Fatalf("no command %q", verb)
	return ""
}

func (s *script) append(args []string) string {
	var items []Item
	for n, to := range args[2:] {
		user, folder, _ := strings.Cut(to, "/")
		it := Item{
			Mailbox: user + "@example.net",
			Folder:  folder,
			Prefix:  []byte("To " + user + ": "),
		}
		if args[0] != "-" {
			it.Key = AppendKey{ID: mail.ID{args[0][0]}, Recipient: uint32(n)}
		}
		items = append(items, it)
	}
	results, err := s.send(contentOf(args[1]), items...)
	s.ok(err)
	var words []string
	for _, r := range results {
		w := []string{"?", "stored", "duplicate", "no mailbox", "full", "again"}[r.Code]
		if r.InInbox {
			w += " in INBOX"
		}
		if r.Warn {
			w += ", warn"
		}
		words = append(words, w)
	}
	return strings.Join(words, "; ")
}

// dump is the whole shard in words.
func (s *script) dump() string {
	var out strings.Builder
	boxes, err := s.s.Mailboxes("", 100)
	s.ok(err)
	for _, m := range boxes {
		fmt.Fprintf(
			&out,
			"%s #%d: %d messages, %d octets\n",
			strings.TrimSuffix(m.Address, "@example.net"),
			m.Number,
			m.Messages,
			m.Bytes,
		)
		folders, err := s.s.Folders(m.Ref)
		s.ok(err)
		for _, f := range folders {
			fmt.Fprintf(
				&out,
				"  %s #%d validity +%d modseq %d next %d unseen %d\n",
				f.Name,
				f.Number,
				int64(f.Validity)-testEpoch.Unix(),
				f.ModSeq,
				f.Next,
				f.Unseen,
			)
			s.ok(s.s.Messages(m.Ref, f.Number, Range{}, func(msg *Message) bool {
				fmt.Fprintf(
					&out,
					"    %d %q modseq %d",
					msg.UID,
					s.read(m.Ref, f.Number, msg.UID),
					msg.ModSeq,
				)
				for i, name := range flagNames {
					if msg.Flags>>i&1 == 1 {
						out.WriteString(" " + name)
					}
				}
				out.WriteByte('\n')
				return true
			}))
		}
	}
	st := s.stats()
	fmt.Fprintf(
		&out,
		"%d contents, %d records, %d parts\n",
		st.Contents,
		st.DedupRecords,
		len(s.g.Now().Kept()),
	)
	return out.String()
}
