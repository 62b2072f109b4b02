package pop3

import (
	"context"
	"io"
	"net/netip"

	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

// Maildrops are the mailboxes of the cluster, wherever they are. Its methods are called on workers,
// by several at once, and may block until ctx ends; Unlock is called on event loops and must not
// block. Errors are package mailbox's, or wrap them.
type Maildrops interface {
	// Lock takes the maildrop lock of a mailbox (RFC 1939 4): ErrLocked when another session has
	// it, ErrNoMailbox when there is none.
	Lock(ctx context.Context, address string) (mailbox.LockID, error)
	// Renew keeps a lock. ErrStaleLock or ErrRefused: it is lost.
	Renew(ctx context.Context, id mailbox.LockID) error
	// Unlock gives a lock back.
	Unlock(id mailbox.LockID)
	// Update removes messages, whose UIDs ascend, from the inbox of a locked mailbox. After an
	// error some may be gone.
	Update(ctx context.Context, id mailbox.LockID, uids []mailbox.UID) error
	// Mailbox tells of the mailbox's retention, Folders of its folders, Messages of a folder's
	// messages in the order of their UIDs.
	Mailbox(ctx context.Context, address string) (mailbox.Mailbox, error)
	Folders(ctx context.Context, box mailbox.Ref) ([]mailbox.Folder, error)
	Messages(ctx context.Context, box mailbox.Ref, folder uint32) ([]mailbox.Message, error)
	// Open opens a message of so many octets, to be read piece by piece; ctx bounds the reading,
	// too. A reader that has a method Rest is told by it when its client does not read, to let go
	// of its memory until the next Read.
	Open(
		ctx context.Context,
		box mailbox.Ref,
		folder uint32,
		uid mailbox.UID,
	) (io.ReadCloser, int64, error)
}

// Authenticator checks credentials. user is then the canonical address of the mailbox. A temporary
// failure is answered with [SYS/TEMP], a permanent one with [AUTH] (RFC 3206). The session ends
// with a temporary one whose Close is set.
type Authenticator interface {
	// Plain checks a password. done is called once, on any goroutine, before the call returns too.
	Plain(
		client netip.AddrPort,
		authzid, user, password string,
		done func(user string, f *smtp.Failure),
	)
	// ScramSHA256 begins a SCRAM-SHA-256 exchange (RFC 5802, RFC 7677).
	ScramSHA256(client netip.AddrPort) ScramExchange
}

// ScramExchange is one SCRAM conversation; its steps are cheap and run on the loop.
type ScramExchange interface {
	// Step takes a client message and returns the server's. After the final client message it
	// returns done with the user.
	Step(client []byte) (server []byte, user string, done bool, f *smtp.Failure)
}
