package mailbox

import (
	"context"

	"github.com/postroad/postroad/internal/codec"
)

// verbMost is how many messages one command handles.
const verbMost = 500

// verbs proposes one command for each verbMost of the UIDs, which ascend, until all are done or one
// fails. The result is that of all; the first error ends it.
func (r *run) verbs(
	ctx context.Context, t commandType, uids []UID, body func([]byte, []UID) []byte,
) (sum verbResult, err error) {
	for len(uids) > 0 {
		some := uids[:min(len(uids), verbMost)]
		uids = uids[len(some):]
		v, err := r.verb(ctx, t, func(b []byte) []byte { return body(b, some) })
		sum.count += v.count
		sum.uids = append(sum.uids, v.uids...)
		sum.modSeq = max(sum.modSeq, v.modSeq)
		if sum.first == 0 {
			sum.first = v.first
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

func (s *Store) onMessages(
	ctx context.Context, t commandType, uids []UID, body func([]byte, []UID) []byte,
) (verbResult, error) {
	r := s.run.Load()
	if r == nil {
		return verbResult{}, errNotOwner
	}
	return r.verbs(ctx, t, uids, body)
}

// Verbs over messages take UIDs in ascending order; those that are not there are passed over. More
// than 500 are several commands: after an error some may be done and others not. ErrUnknown: the
// last command may still be done.

// FlagChange is what StoreFlags does.
type FlagChange struct {
	Op    FlagOp // SetFlags, AddFlags or RemoveFlags
	Flags Flags
	// messages whose ModSeq is above are left alone (RFC 7162 UNCHANGEDSINCE); 0: none is
	Since uint64
}

// FlagsDone is what StoreFlags did.
type FlagsDone struct {
	Changed  int
	ModSeq   uint64 // of the folder
	Modified []UID  // left alone
}

// StoreFlags changes flags.
func (s *Store) StoreFlags(
	ctx context.Context, box Ref, folder uint32, uids []UID, c FlagChange,
) (FlagsDone, error) {
	if c.Op < SetFlags || c.Op > RemoveFlags || c.Flags > allFlags {
		return FlagsDone{}, ErrName
	}
	v, err := s.onMessages(ctx, cmdFlags, uids, func(b []byte, uids []UID) []byte {
		return appendFlags(b, box, folder, c.Op, c.Flags, c.Since, uids)
	})
	return FlagsDone{int(v.count), v.modSeq, v.uids}, err
}

// Expunge removes messages for good; marked: only those with the flag Deleted. It returns how many.
func (s *Store) Expunge(
	ctx context.Context, box Ref, folder uint32, uids []UID, marked bool,
) (int, error) {
	v, err := s.onMessages(ctx, cmdExpunge, uids, func(b []byte, uids []UID) []byte {
		return append(appendMessages(b, box, folder, uids), codec.Bit(marked))
	})
	return int(v.count), err
}

// Copied says where messages went: UIDs[i] became First+i (RFC 4315 COPYUID).
type Copied struct {
	UIDs  []UID
	First UID
}

// Copy copies messages to another folder of the mailbox, or moves them (RFC 6851); the new ones
// have the flags and dates of the old. A content is never copied. ErrFull: the hard quota is not
// enough. It returns one Copied for each command.
func (s *Store) Copy(
	ctx context.Context, box Ref, folder uint32, uids []UID, to uint32, move bool,
) (all []Copied, err error) {
	r := s.run.Load()
	if r == nil {
		return nil, errNotOwner
	}
	for len(uids) > 0 {
		some := uids[:min(len(uids), verbMost)]
		uids = uids[len(some):]
		v, err := r.verb(ctx, cmdCopy, func(b []byte) []byte {
			b = appendMessages(b, box, folder, some)
			return append(appendCount(b, int(to)), codec.Bit(move))
		})
		if err != nil {
			return all, err
		}
		if len(v.uids) > 0 {
			all = append(all, Copied{v.uids, v.first})
		}
	}
	return all, nil
}
