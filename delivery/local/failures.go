package local

import (
	"errors"

	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

// The scheduler is told one of these. 4.3.0 and 4.3.2 are tried again within seconds.
var (
	failNoPostmaster = smtp.Temp(smtp.LocalError, "4.3.5",
		"Mail for postmaster has nowhere to go: the operator must set local.postmaster")
	failNoUser = smtp.Perm(smtp.MailboxUnavailable, "5.1.1", "No such user here")
	failFull   = smtp.Temp(smtp.InsufficientStorage, "4.2.2", "The mailbox is full")
	// no waiting makes room for it (RFC 3463 3.3)
	failTooLarge = smtp.Perm(smtp.ExceededStorage, "5.2.3",
		"The message is larger than the mailbox may hold in all")

	failNotSure  = unavailable("It is not known just now who has a mailbox")
	failNoShards = unavailable("There are no mailboxes yet")
	failMoving   = unavailable("The mailbox has no owner just now")
	failBusy     = unavailable("Too much is waiting for the mailbox's shard")

	failUnknown = smtp.Temp(smtp.LocalError, "4.3.0",
		"It is not known whether the mailbox has the message")
	failStore = smtp.Temp(smtp.LocalError, "4.3.0", "The mailbox's shard did not take the message")
)

func unavailable(text string) *smtp.Failure { return smtp.Temp(smtp.LocalError, "4.3.2", text) }

// failureOf is what the scheduler is told of an append that failed as a whole.
func failureOf(err error) *smtp.Failure {
	switch {
	case errors.Is(err, mailbox.ErrBusy):
		return failBusy
	case errors.Is(err, mailbox.ErrRefused):
		return failMoving
	case errors.Is(err, mailbox.ErrUnknown):
		return failUnknown
	}
	return failStore.With(err)
}
