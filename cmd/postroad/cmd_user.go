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

	"github.com/postroad/postroad/internal/admin"
)

var userCommands = []command{
	{name: "add", args: "ADDRESS [--sender ADDRESS ...] [--password-stdin]", short: "add a user, who logs in with a mail address", run: runUserAdd, long: `
The password is asked for, twice, or read from standard input. The user may send as ADDRESS and as each --sender.

    postroad user add alice@example.net --sender @sales.example.net
    pwgen 20 1 | tee /dev/stderr | postroad user add bob@example.net --password-stdin`},
	{name: "passwd", args: "ADDRESS [--password-stdin]", short: "give a user another password", run: runUserPasswd},
	{name: "list", args: "[--json]", short: "list the users", run: runUserList},
	{name: "remove", args: "ADDRESS", short: "remove a user; their mail in the queue goes on", run: runUserRemove},
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

func runUserAdd(ctx context.Context, c *console, args []string) error {
	var u userFlags
	fs := c.flags()
	u.passwordFlags(fs)
	fs.StringVar(&u.request.Tenant, "tenant", "", "the `TENANT` of the user's mail")
	fs.Func("sender", "another `ADDRESS` that the user may send as, or @DOMAIN for all of a domain; may be repeated", func(s string) error {
		u.request.Senders = append(u.request.Senders, s)
		return nil
	})
	fs.Func("messages", "how many messages the user may submit, a `RATE` such as 500/h (default: policy.user_messages)", func(s string) error {
		return u.request.Messages.UnmarshalText([]byte(s))
	})
	fs.Func("recipients", "how many recipients the user may send to, a `RATE` (default: policy.user_recipients)", func(s string) error {
		return u.request.Recipients.UnmarshalText([]byte(s))
	})
	return u.change(ctx, c, fs, args, "add", "added")
}

func runUserPasswd(ctx context.Context, c *console, args []string) error {
	var u userFlags
	fs := c.flags()
	u.passwordFlags(fs)
	return u.change(ctx, c, fs, args, "passwd", "has another password")
}

func runUserRemove(ctx context.Context, c *console, args []string) error {
	var u userFlags
	return u.change(ctx, c, c.flags(), args, "remove", "removed")
}

// change makes one change of a user and says what it did.
func (u *userFlags) change(ctx context.Context, c *console, fs *flag.FlagSet, args []string, verb, did string) error {
	client, err := u.parse(c, fs, args)
	if err != nil {
		return err
	}
	defer client.Close()
	if verb != "remove" {
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

// password asks for a password, or reads it from standard input. It never comes from an argument, where others could see it.
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

func runUserList(ctx context.Context, c *console, args []string) error {
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
	client, err := n.client()
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Users(ctx, func(raw json.RawMessage) error {
		if *asJSON {
			return c.line(raw)
		}
		var u admin.User
		if err := json.Unmarshal(raw, &u); err != nil {
			return err
		}
		return c.user(&u)
	})
}

// user prints one line of a listing.
func (c *console) user(u *admin.User) error {
	about := []string{clean(u.Name)}
	for _, part := range [][2]string{
		{"tenant ", u.Tenant}, {"also sends as ", strings.Join(u.Senders, " ")}, {"messages ", u.Messages.String()}, {"recipients ", u.Recipients.String()},
	} {
		if part[1] != "" {
			about = append(about, part[0]+clean(part[1]))
		}
	}
	if u.Scram {
		about = append(about, "SCRAM")
	}
	if u.Disabled {
		about = append(about, "disabled")
	}
	_, err := fmt.Fprintln(c.out, strings.Join(about, "  "))
	return err
}
