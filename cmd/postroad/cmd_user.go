package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/postroad/postroad/internal/admin"
	"github.com/postroad/postroad/internal/config"
)

var userCommands = []command{
	{name: "add", args: "ADDRESS [--sender ADDRESS ...] [--hard-quota SIZE] [--password-stdin]", short: "add a user, who logs in with a mail address", run: runUserAdd, long: `
The password is asked for, twice, or read from standard input. The user may send as ADDRESS and as each --sender. If the domain of ADDRESS is local
(local.domains of the configuration, or postroad domain add) the user has a mailbox, unless --no-mailbox says otherwise.

    postroad user add alice@example.net --sender @sales.example.net --hard-quota 5GiB
    postroad user add bot@example.net --no-mailbox --forward ops@example.com
    pwgen 20 1 | tee /dev/stderr | postroad user add bob@example.net --password-stdin`},
	{name: "set", args: "ADDRESS [--forward ADDRESS ...] [--hard-quota SIZE] [--disable] ...", short: "change what a user may do and where mail goes", run: runUserSet, long: `
Only what is named changes. Lists are replaced as a whole; "" empties one.

    postroad user set alice@example.net --hard-quota 10GiB --soft-quota 9GiB
    postroad user set bob@example.net --forward bob@example.org --keep-copy
    postroad user set bob@example.net --forward ""`},
	{name: "passwd", args: "ADDRESS [--password-stdin]", short: "give a user another password", run: runUserPasswd},
	{name: "list", args: "[--json]", short: "list the users", run: runUserList},
	{name: "import", args: "FILE [--stage NAME] [--replace] | --publish NAME | --discard NAME | --stages", short: "add users from a file", run: runUserImport, long: userImportHelp},
	{name: "sync", args: "[--force]", short: "look at the outside list of users ([ldap]) now", run: runUserSync},
	{name: "export", args: "[FILE] [--format csv|json] [--hashes]", short: "write the users into a file that import reads", run: runUserExport},
	{name: "remove", args: "ADDRESS [--keep-mail]", short: "remove a user and the mailbox; their mail in the queue goes on", run: runUserRemove},
}

// userFlags are the flags of the commands that change a user.
type userFlags struct {
	nodeFlags
	request admin.UserRequest
	stdin   bool
}

// parse reads the arguments, the user's address among them.
func (u *userFlags) parse(c *console, fs *flag.FlagSet, args []string) (*admin.Client, error) {
	u.nodeFlags.register(fs)
	rest, err := c.parse(fs, args)
	if err != nil {
		return nil, err
	}
	if len(rest) != 1 {
		return nil, usage("one user's address is needed", "for example: "+c.path+" alice@example.net")
	}
	u.request.Name = rest[0]
	if err := u.request.Check(); err != nil {
		return nil, err
	}
	return u.client()
}

func (u *userFlags) passwordFlags(fs *flag.FlagSet) {
	fs.BoolVar(&u.stdin, "password-stdin", false, "read the password from the first line of standard input")
	fs.BoolVar(&u.request.Scram, "scram", false, "also keep keys for SCRAM-SHA-256")
}

// settingFlags are those of add and set.
func (u *userFlags) settingFlags(fs *flag.FlagSet) {
	r := &u.request
	fs.Func("tenant", "the `TENANT` of the user's mail", text(&r.Tenant))
	fs.Func("sender", "another `ADDRESS` that the user may send as, or @DOMAIN for all of a domain; may be repeated", more(&r.Senders))
	fs.Func("messages", "how many messages the user may submit, a `RATE` such as 500/h (default: policy.user_messages)", value(&r.Messages))
	fs.Func("recipients", "how many recipients the user may send to, a `RATE` (default: policy.user_recipients)", value(&r.Recipients))
	fs.Func("hard-quota", "the `SIZE` that the mailbox never exceeds, such as 5GiB; 0: none", size(&r.HardQuota))
	fs.Func("soft-quota", "the `SIZE` above which the user is warned; 0: none", size(&r.SoftQuota))
	fs.Func("retention", "the `TIME` for which a message stays in a folder, such as 90d; 0s: for good", value(&r.Retention))
	fs.Func("forward", "an `ADDRESS` that gets the user's mail instead of the mailbox; may be repeated", more(&r.Forward))
	fs.BoolFunc("keep-copy", "what is forwarded goes to the mailbox, too", yes(&r.KeepCopy, true))
	fs.BoolFunc("no-copy", "what is forwarded does not go to the mailbox", yes(&r.KeepCopy, false))
	fs.BoolFunc("mailbox", "the user has a mailbox, if the domain is local", yes(&r.Mailbox, true))
	fs.BoolFunc("no-mailbox", "the user only sends", yes(&r.Mailbox, false))
	fs.BoolFunc("disable", "the user cannot log in", yes(&r.Disabled, true))
	fs.BoolFunc("enable", "the user can log in", yes(&r.Disabled, false))
}

func runUserAdd(ctx context.Context, c *console, args []string) error {
	var u userFlags
	fs := c.flags()
	u.passwordFlags(fs)
	u.settingFlags(fs)
	return u.change(ctx, c, fs, args, "add", "added")
}

func runUserSet(ctx context.Context, c *console, args []string) error {
	var u userFlags
	fs := c.flags()
	u.settingFlags(fs)
	return u.change(ctx, c, fs, args, "set", "changed")
}

func runUserPasswd(ctx context.Context, c *console, args []string) error {
	var u userFlags
	fs := c.flags()
	u.passwordFlags(fs)
	return u.change(ctx, c, fs, args, "passwd", "has another password")
}

func runUserRemove(ctx context.Context, c *console, args []string) error {
	var u userFlags
	fs := c.flags()
	fs.BoolVar(&u.request.KeepMail, "keep-mail", false, "keep the mailbox, which a user of the same name would find again")
	return u.change(ctx, c, fs, args, "remove", "removed")
}

// change makes one change of a user and says what it did.
func (u *userFlags) change(ctx context.Context, c *console, fs *flag.FlagSet, args []string, verb, did string) error {
	client, err := u.parse(c, fs, args)
	if err != nil {
		return err
	}
	defer client.Close()
	if verb == "add" || verb == "passwd" {
		if u.request.Password, err = c.password(u.stdin); err != nil {
			return err
		}
	}
	if err := client.ChangeUser(ctx, verb, u.request); err != nil {
		return err
	}
	fmt.Fprintf(c.err, "%s %s\n", u.request.Name, did)
	return nil
}

// password asks for a password, or reads it from standard input. It never comes from an argument,
// where others could see it.
func (c *console) password(stdin bool) (string, error) {
	if stdin {
		line, err := bufio.NewReader(io.LimitReader(c.in, 4096)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	f, ok := c.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", usage("there is no terminal to ask for the password", "use --password-stdin")
	}
	first, err := c.ask(f, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := c.ask(f, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", &admin.Error{Exit: admin.ExitData, Message: "the two passwords differ", Hint: "try again"}
	}
	return first, nil
}

func (c *console) ask(f *os.File, prompt string) (string, error) {
	fmt.Fprint(c.err, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(c.err)
	return string(b), err
}

func runUserSync(ctx context.Context, c *console, args []string) error {
	var n nodeFlags
	var request admin.SyncRequest
	fs := c.flags()
	n.register(fs)
	fs.BoolVar(&request.Force, "force", false, "also remove most of the users who came from it, if they are not in it any more")
	rest, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	return withClient(&n, func(client *admin.Client) error {
		a, err := client.SyncUsers(ctx, request)
		if err == nil {
			fmt.Fprintf(c.err, "%s in the list: %d added or changed, %d removed, %d kept as our own, %d refused\n", number(int64(a.Users), "user"), a.Changed, a.Removed, a.Kept, a.Refused)
		}
		return err
	})
}

func runUserList(ctx context.Context, c *console, args []string) error {
	return list(ctx, c, args, (*admin.Client).Users, c.user)
}

// list prints a listing of the directory: a line each, or with --json what came.
func list[T any](ctx context.Context, c *console, args []string, get func(*admin.Client, context.Context, func(json.RawMessage) error) error, line func(*T) error) error {
	fs := c.flags()
	var n nodeFlags
	n.register(fs)
	asJSON := fs.Bool("json", false, "print one JSON object a line")
	rest, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	return withClient(&n, func(client *admin.Client) error { return get(client, ctx, lines(c, *asJSON, line)) })
}

// user prints one line of a listing.
func (c *console) user(u *admin.User) error {
	forward := strings.Join(u.Forward, " ")
	if forward != "" && u.KeepCopy {
		forward += " and the mailbox"
	}
	return c.about(u.Name, [][2]string{
		{"tenant ", u.Tenant}, {"also sends as ", strings.Join(u.Senders, " ")}, {"messages ", u.Messages.String()}, {"recipients ", u.Recipients.String()},
		{"quota ", quotaOf(u.HardQuota)}, {"soft quota ", quotaOf(u.SoftQuota)}, {"kept for ", keptFor(u.Retention)}, {"forwards to ", forward}, {"from ", u.Source},
	}, map[string]bool{"SCRAM": u.Scram, "disabled": u.Disabled, "no mailbox": !u.Mailbox})
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

// about prints one line: a name, what is not empty, and words that are true.
func (c *console) about(name string, parts [][2]string, words map[string]bool) error {
	about := []string{clean(name)}
	for _, part := range parts {
		if part[1] != "" {
			about = append(about, part[0]+clean(part[1]))
		}
	}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if words[word] {
			about = append(about, word)
		}
	}
	_, err := fmt.Fprintln(c.out, strings.Join(about, "  "))
	return err
}
