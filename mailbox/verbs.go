package mailbox

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/postroad/postroad/internal/codec"
)

// slot waits for a free slot of verbs, which is to be given back.
func (r *run) slot(ctx context.Context) (*slot, error) {
	select {
	case l := <-r.slots:
		return l, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	case <-r.ctx.Done():
		return nil, errNotOwner
	}
}

// verb proposes one command on a slot of its own and returns what it came to.
func (r *run) verb(
	ctx context.Context, t commandType, body func([]byte) []byte,
) (verbResult, error) {
	l, err := r.slot(ctx)
	if err != nil {
		return verbResult{}, err
	}
	defer func() { r.slots <- l }()
	ctx, cancel := context.WithTimeout(ctx, r.s.opts.UnknownFor)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	result, err := r.propose(ctx, body(r.begin(l, t)), nil)
	if err != nil {
		return verbResult{}, err
	}
	v := result.(verbResult)
	return v, v.status.err()
}

// verb proposes one command of the owner, if this member is.
func (s *Store) verb(
	ctx context.Context, t commandType, body func([]byte) []byte,
) (verbResult, error) {
	r := s.run.Load()
	if r == nil {
		return verbResult{}, errNotOwner
	}
	v, err := r.verb(ctx, t, body)
	if err == nil && (t == cmdRemoveMailbox || t == cmdDeleteFolder) {
		r.wakePurge()
	}
	return v, err
}

// CreateMailbox makes a mailbox with its inbox.
func (s *Store) CreateMailbox(ctx context.Context, address string, set Settings) (Ref, error) {
	if err := s.checkAddress(address, set); err != nil {
		return Ref{}, err
	}
	v, err := s.verb(
		ctx,
		cmdCreateMailbox,
		func(b []byte) []byte { return appendSettings(codec.AppendBytes(b, address), set) },
	)
	return Ref{address, v.number}, err
}

func (s *Store) checkAddress(address string, set Settings) error {
	if address == "" || len(address) > maxAddress || set.Soft < 0 || set.Hard < 0 ||
		set.Retention < 0 ||
		set.Retention > maxRetention {
		return ErrName
	}
	if !s.mine(address) {
		return fmt.Errorf("%s: %w", address, ErrWrongShard)
	}
	return nil
}

// RemoveMailbox removes a mailbox and all that is in it. Its address is free at once.
func (s *Store) RemoveMailbox(ctx context.Context, box Ref) error {
	_, err := s.verb(ctx, cmdRemoveMailbox, func(b []byte) []byte { return appendBox(b, box) })
	return err
}

// RenameMailbox gives a mailbox another address of this shard. To one of another shard
// (ErrWrongShard) it is exported, imported and removed.
func (s *Store) RenameMailbox(ctx context.Context, box Ref, address string) error {
	if err := s.checkAddress(address, Settings{}); err != nil {
		return err
	}
	_, err := s.verb(
		ctx,
		cmdRenameMailbox,
		func(b []byte) []byte { return codec.AppendBytes(appendBox(b, box), address) },
	)
	return err
}

// SetSettings changes quotas and retention.
func (s *Store) SetSettings(ctx context.Context, box Ref, set Settings) error {
	if err := s.checkAddress(box.Address, set); err != nil {
		return err
	}
	_, err := s.verb(
		ctx,
		cmdSettings,
		func(b []byte) []byte { return appendSettings(appendBox(b, box), set) },
	)
	return err
}

// FolderLevel parts the levels of a folder's name.
const FolderLevel = "/"

func checkFolder(name string) error {
	bad := name == "" || len(name) > maxFolder || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
	for _, level := range strings.Split(name, FolderLevel) {
		bad = bad || level == ""
	}
	if bad {
		return fmt.Errorf("folder %q: %w", name, ErrName)
	}
	return nil
}

// CreateFolder makes a folder, which is subscribed.
func (s *Store) CreateFolder(ctx context.Context, box Ref, name string) (number uint32, err error) {
	if err := checkFolder(name); err != nil {
		return 0, err
	}
	v, err := s.verb(
		ctx,
		cmdCreateFolder,
		func(b []byte) []byte { return codec.AppendBytes(appendBox(b, box), name) },
	)
	return v.number, err
}

// RenameFolder renames a folder and the folders below it, all or none. The inbox keeps its name.
func (s *Store) RenameFolder(ctx context.Context, box Ref, number uint32, name string) error {
	if err := checkFolder(name); err != nil {
		return err
	}
	all, err := s.Folders(box)
	if err != nil {
		return err
	}
	var old string
	for _, f := range all {
		if f.Number == number {
			old = f.Name
		}
	}
	if old == "" || number == Inbox {
		return ErrNoFolder
	}
	var renamed []Folder
	for _, f := range all {
		if rest, below := strings.CutPrefix(f.Name, old+FolderLevel); below {
			f.Name = name + FolderLevel + rest
		} else if f.Name = name; f.Number != number {
			continue
		}
		if len(f.Name) > maxFolder {
			return fmt.Errorf("folder %q: %w", f.Name, ErrName)
		}
		renamed = append(renamed, f)
	}
	_, err = s.verb(
		ctx,
		cmdRenameFolders,
		func(b []byte) []byte { return appendRenames(b, box, renamed) },
	)
	return err
}

// DeleteFolder deletes a folder and its messages, but not the folders below it. The inbox stays.
func (s *Store) DeleteFolder(ctx context.Context, box Ref, number uint32) error {
	_, err := s.verb(
		ctx,
		cmdDeleteFolder,
		func(b []byte) []byte { return appendFolder(b, box, number) },
	)
	return err
}

// SetFolder changes whether a folder is subscribed, and its retention: those of f.
func (s *Store) SetFolder(ctx context.Context, box Ref, f Folder) error {
	if f.Retention < 0 || f.Retention > maxRetention {
		return ErrName
	}
	_, err := s.verb(
		ctx,
		cmdFolderOptions,
		func(b []byte) []byte { return appendFolderOptions(b, box, &f) },
	)
	return err
}
