package admin

import (
	"flag"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/directory/roster"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// This file has all that is written out for each attribute of a user between the operator and the
// directory. A new attribute has its place here, in api.User and api.UserSettings, in
// directory/user.go and in the files' columns (directory/roster/fields.go), and nowhere else.

// UserFlags registers the flags of the commands that say something of a user.
func UserFlags(fs *flag.FlagSet, r *api.UserSettings) {
	fs.Func("tenant", "the `TENANT` of the user's mail", cli.Text(&r.Tenant))
	fs.Func("sender",
		"another `ADDRESS` that the user may send as, or @DOMAIN for all of a domain; may be "+
			"repeated", cli.More(&r.Senders))
	fs.Func("messages",
		"how many messages the user may submit, a `RATE` such as 500/h (default: "+
			"policy.user_messages)", cli.Value(&r.Messages))
	fs.Func("recipients",
		"how many recipients the user may send to, a `RATE` (default: policy.user_recipients)",
		cli.Value(&r.Recipients))
	fs.Func("hard-quota", "the `SIZE` that the mailbox never exceeds, such as 5GiB; 0: none",
		cli.Size(&r.HardQuota))
	fs.Func("soft-quota", "the `SIZE` above which the user is warned; 0: none",
		cli.Size(&r.SoftQuota))
	fs.Func("retention",
		"the `TIME` for which a message stays in a folder, such as 90d; 0s: for good",
		cli.Value(&r.Retention))
	fs.Func("forward",
		"an `ADDRESS` that gets the user's mail instead of the mailbox; may be repeated",
		cli.More(&r.Forward))
	fs.BoolFunc("keep-copy", "what is forwarded goes to the mailbox, too",
		cli.Yes(&r.KeepCopy, true))
	fs.BoolFunc("no-copy", "what is forwarded does not go to the mailbox",
		cli.Yes(&r.KeepCopy, false))
	fs.BoolFunc("mailbox", "the user has a mailbox, if the domain is local",
		cli.Yes(&r.Mailbox, true))
	fs.BoolFunc("no-mailbox", "the user only sends", cli.Yes(&r.Mailbox, false))
	fs.BoolFunc("disable", "the user cannot log in", cli.Yes(&r.Disabled, true))
	fs.BoolFunc("enable", "the user can log in", cli.Yes(&r.Disabled, false))
}

// AboutUser returns what a listing says of a user: parts, of which those with a text are shown, and
// words, of which those that are true are.
func AboutUser(u *api.User) (parts [][2]string, words map[string]bool) {
	forward := strings.Join(u.Forward, " ")
	if forward != "" && u.KeepCopy {
		forward += " and the mailbox"
	}
	parts = [][2]string{
		{"tenant ", u.Tenant}, {"also gets mail for ", strings.Join(u.Addresses, " ")},
		{"also sends as ", strings.Join(u.Senders, " ")},
		{"messages ", u.Messages.String()}, {"recipients ", u.Recipients.String()},
		{"quota ", quotaOf(u.HardQuota)}, {"soft quota ", quotaOf(u.SoftQuota)},
		{"kept for ", keptFor(u.Retention)}, {"forwards to ", forward}, {"from ", u.Source},
	}
	words = map[string]bool{"SCRAM": u.Scram, "disabled": u.Disabled, "no mailbox": !u.Mailbox}
	return parts, words
}

// UserRows are what is said of one user who is shown.
func UserRows(u *api.User) [][2]string {
	parts, words := AboutUser(u)
	rows := [][2]string{{"name", u.Name}}
	for _, part := range parts {
		rows = append(rows, [2]string{strings.TrimSpace(part[0]), part[1]})
	}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if words[word] {
			rows = append(rows, [2]string{"note", word})
		}
	}
	return append(rows, [2]string{"created", cli.Time(u.Created.Time)},
		[2]string{"changed", cli.Time(u.Changed.Time)})
}

func keptFor(d config.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func quotaOf(n int64) string {
	if n == 0 {
		return ""
	}
	return config.Size(n).String()
}

// wireUser is a user as a listing has it.
func wireUser(u *directory.User) *api.User {
	return &api.User{Name: u.Name, Tenant: u.Tenant, Senders: u.Senders,
		Messages: config.Rate(u.Messages), Recipients: config.Rate(u.Rcpts),
		Scram: u.Scram != nil, Disabled: u.Disabled, Mailbox: !u.NoMailbox, SoftQuota: u.Soft,
		HardQuota: u.Hard, Retention: config.Duration(u.Retention),
		Forward: u.Forward, KeepCopy: u.Keep, Source: u.Source, Addresses: u.Addresses,
		Created: api.At(u.Created), Changed: api.At(u.Changed)}
}

// applySettings changes what is there.
func applySettings(u *api.UserSettings, s *directory.Settings) {
	set(&s.Tenant, u.Tenant)
	set(&s.Disabled, u.Disabled)
	set(&s.Keep, u.KeepCopy)
	if u.Senders != nil {
		s.Senders = u.Senders
	}
	if u.Forward != nil {
		s.Forward = u.Forward
	}
	if u.Messages != nil {
		s.Messages = directory.Rate(*u.Messages)
	}
	if u.Recipients != nil {
		s.Recipients = directory.Rate(*u.Recipients)
	}
	if u.Mailbox != nil {
		s.NoMailbox = !*u.Mailbox
	}
	if u.SoftQuota != nil {
		s.Soft = int64(*u.SoftQuota)
	}
	if u.HardQuota != nil {
		s.Hard = int64(*u.HardQuota)
	}
	if u.Retention != nil {
		s.Retention = time.Duration(*u.Retention)
	}
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// ImportedUser is a row of a file as the node takes it.
func ImportedUser(row *roster.User) api.ImportedUser {
	s := &row.Settings
	return api.ImportedUser{Name: row.Address, Hash: row.Hash, Scram: row.Scram,
		UserSettings: api.UserSettings{
			Tenant: given(s.Tenant), Senders: s.Senders, Messages: given(config.Rate(s.Messages)),
			Recipients: given(config.Rate(s.Recipients)), Disabled: given(s.Disabled),
			Mailbox:   given(!s.NoMailbox),
			SoftQuota: given(config.Size(s.Soft)), HardQuota: given(config.Size(s.Hard)),
			Retention: given(config.Duration(s.Retention)), Forward: s.Forward,
			KeepCopy: given(s.Keep),
		}}
}

// given points to a value that is not zero.
func given[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// ExportedUser is a user as a row of a file; hashes: with what checks the password.
func ExportedUser(u *api.ExportedUser, hashes bool) *roster.User {
	row := &roster.User{Address: u.Name, Settings: directory.Settings{
		Tenant: u.Tenant, Senders: u.Senders, Messages: directory.Rate(u.Messages),
		Recipients: directory.Rate(u.Recipients), Disabled: u.Disabled,
		NoMailbox: !u.Mailbox, Soft: u.SoftQuota, Hard: u.HardQuota,
		Retention: time.Duration(u.Retention), Forward: u.Forward, Keep: u.KeepCopy,
	}}
	if hashes {
		row.Hash, row.Scram = u.Hash, u.Secret
	}
	return row
}
