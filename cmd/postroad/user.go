package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

var userCommands = []cli.Command{
	{Name: "add", Args: "ADDRESS [--sender ADDRESS ...] [--hard-quota SIZE] [--password-stdin]", Short: "add a user, who logs in with a mail address", Run: runUserAdd, Long: `
The password is asked for, twice, or read from standard input. The user may send as ADDRESS and as each --sender. If the domain of ADDRESS is local
(local.domains of the configuration, or postroad domain add) the user has a mailbox, unless --no-mailbox says otherwise.

    postroad user add alice@example.net --sender @sales.example.net --hard-quota 5GiB
    postroad user add bot@example.net --no-mailbox --forward ops@example.com
    pwgen 20 1 | tee /dev/stderr | postroad user add bob@example.net --password-stdin`},
	{Name: "set", Args: "ADDRESS [--forward ADDRESS ...] [--hard-quota SIZE] [--disable] ...", Short: "change what a user may do and where mail goes", Run: runUserSet, Long: `
Only what is named changes. Lists are replaced as a whole; "" empties one.

    postroad user set alice@example.net --hard-quota 10GiB --soft-quota 9GiB
    postroad user set bob@example.net --forward bob@example.org --keep-copy
    postroad user set bob@example.net --forward ""`},
	{Name: "passwd", Args: "ADDRESS [--password-stdin]", Short: "give a user another password", Run: runUserPasswd, Long: `
The password is asked for, twice, or read from standard input. It counts on all nodes.

    postroad user passwd alice@example.net`},
	{Name: "list", Args: "[--json]", Short: "list the users", Run: runUserList, Long: `
A line each, in the order of their addresses, with what was said of the user and is not the default.

    postroad user list --json`},
	{Name: "show", Args: "ADDRESS [--json]", Short: "show all that is known of a user", Run: runUserShow, Long: `
Shows what the user may do, where mail goes, and when that was last changed; never the password. How full the mailbox is, "postroad mailbox show" says.

    postroad user show alice@example.net`},
	{Name: "import",
		Args:  "FILE [--stage NAME] [--replace] | --publish NAME | --discard NAME | --stages",
		Short: "add users from a file", Run: runUserImport, Long: userImportHelp},
	{Name: "sync", Args: "[--force]", Short: "look at the outside list of users ([ldap]) now", Run: runUserSync, Long: `
The list is looked at every ldap.interval anyway. When most of the users are not in it any more, none is removed without --force.

    postroad user sync`},
	{Name: "export", Args: "[FILE] [--format csv|json] [--hashes]",
		Short: "write the users into a file that import reads", Run: runUserExport, Long: `
Without FILE to standard output. A file that is there is not written over.

    postroad user export users.csv --hashes`},
	{Name: "remove", Args: "ADDRESS [--keep-mail]",
		Short: "remove a user and the mailbox; their mail in the queue goes on", Run: runUserRemove, Long: `
The user can log in no more, and mail for the address is refused (550 5.1.1) unless the domain has a catch-all. Of the mailbox nothing is left without --keep-mail.

    postroad user remove bob@example.net --keep-mail`},
}

// userFlags are the flags of the commands that change a user.
type userFlags struct {
	cmdline.Node
	request api.UserRequest
	stdin   bool
}

// parse reads the arguments, the user's address among them.
func (u *userFlags) parse(c *cli.Console, fs *flag.FlagSet, args []string) (*client.Client, error) {
	u.Node.Register(fs)
	rest, err := c.Parse(fs, args)
	if err != nil {
		return nil, err
	}
	if len(rest) != 1 {
		return nil, cli.Usage("one user's address is needed",
			"for example: "+c.Path+" alice@example.net")
	}
	u.request.Name = rest[0]
	if err := admin.CheckUser(&u.request); err != nil {
		return nil, err
	}
	return u.Client()
}

func (u *userFlags) passwordFlags(fs *flag.FlagSet) {
	fs.BoolVar(&u.stdin, "password-stdin", false,
		"read the password from the first line of standard input")
	fs.BoolVar(&u.request.Scram, "scram", false, "also keep keys for SCRAM-SHA-256")
}

func runUserAdd(ctx context.Context, c *cli.Console, args []string) error {
	var u userFlags
	fs := c.Flags()
	u.passwordFlags(fs)
	admin.UserFlags(fs, &u.request.UserSettings)
	return u.change(ctx, c, fs, args, "add", "added")
}

func runUserSet(ctx context.Context, c *cli.Console, args []string) error {
	var u userFlags
	fs := c.Flags()
	admin.UserFlags(fs, &u.request.UserSettings)
	return u.change(ctx, c, fs, args, "set", "changed")
}

func runUserPasswd(ctx context.Context, c *cli.Console, args []string) error {
	var u userFlags
	fs := c.Flags()
	u.passwordFlags(fs)
	return u.change(ctx, c, fs, args, "passwd", "has another password")
}

func runUserRemove(ctx context.Context, c *cli.Console, args []string) error {
	var u userFlags
	fs := c.Flags()
	fs.BoolVar(&u.request.KeepMail, "keep-mail", false,
		"keep the mailbox, which a user of the same name would find again")
	return u.change(ctx, c, fs, args, "remove", "removed")
}

// change makes one change of a user and says what it did.
func (u *userFlags) change(
	ctx context.Context, c *cli.Console, fs *flag.FlagSet, args []string, verb, did string,
) error {
	client, err := u.parse(c, fs, args)
	if err != nil {
		return err
	}
	defer client.Close()
	if verb == "add" || verb == "passwd" {
		if u.request.Password, err = askPassword(c, u.stdin); err != nil {
			return err
		}
	}
	if err := client.ChangeUser(ctx, verb, u.request); err != nil {
		return err
	}
	fmt.Fprintf(c.Err, "%s %s\n", u.request.Name, did)
	if verb == "add" {
		for _, warning := range client.NotLocal(ctx, u.request.Name) {
			fmt.Fprintln(c.Err, cli.Clean(warning))
		}
	}
	return nil
}

// askPassword asks for a password, or reads it from standard input. It never comes from an
// argument, where others could see it.
func askPassword(c *cli.Console, stdin bool) (string, error) {
	if stdin {
		line, err := bufio.NewReader(io.LimitReader(c.In, 4096)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	f, ok := c.In.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", cli.Usage("there is no terminal to ask for the password", "use --password-stdin")
	}
	first, err := ask(c, f, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := ask(c, f, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", &api.Error{Exit: api.ExitData, Message: "the two passwords differ",
			Hint: "try again"}
	}
	return first, nil
}

func ask(c *cli.Console, f *os.File, prompt string) (string, error) {
	fmt.Fprint(c.Err, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(c.Err)
	return string(b), err
}

func runUserSync(ctx context.Context, c *cli.Console, args []string) error {
	var n cmdline.Node
	var request api.SyncRequest
	fs := c.Flags()
	n.Register(fs)
	fs.BoolVar(&request.Force, "force", false,
		"also remove most of the users who came from it, if they are not in it any more")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	return cmdline.WithClient(&n, func(client *client.Client) error {
		a, err := client.SyncUsers(ctx, request)
		if err == nil {
			fmt.Fprintf(c.Err,
				"%s in the list: %d added or changed, %d removed, %d kept as our own, %d refused\n",
				cli.Number(int64(a.Users), "user"), a.Changed, a.Removed, a.Kept, a.Refused)
		}
		return err
	})
}

func runUserList(ctx context.Context, c *cli.Console, args []string) error {
	return cmdline.List(ctx, c, args, (*client.Client).Users, printUser)
}

func runUserShow(ctx context.Context, c *cli.Console, args []string) error {
	return show(ctx, c, args, "user", (*client.Client).User,
		func(c *cli.Console, u *api.User) error { return c.Rows(admin.UserRows(u)) })
}

// show prints what is known of one name, or with --json what came.
func show[T any](
	ctx context.Context, c *cli.Console, args []string, what string,
	get func(*client.Client, context.Context, string) (json.RawMessage, error),
	print func(*cli.Console, *T) error,
) error {
	fs := c.Flags()
	asJSON := fs.Bool("json", false, "print one JSON object")
	return cmdline.WithOne(c, fs, args, what, func(client *client.Client, name string) error {
		raw, err := get(client, ctx, name)
		if err != nil {
			return err
		}
		return cli.Lines(c, *asJSON, print)(raw)
	})
}

// printUser prints one line of a listing.
func printUser(c *cli.Console, u *api.User) error {
	parts, words := admin.AboutUser(u)
	return cmdline.About(c, u.Name, parts, words)
}
