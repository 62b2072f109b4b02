// Package cmdline is what the commands that ask a node have in common: which node that is, and how
// what it says is printed.
package cmdline

import (
	"cmp"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
)

// Usual is the file that is taken when none is named and it is there. Tests have one of their own.
var Usual = config.DefaultPath

// File is the flag --config.
type File struct {
	Path  string
	Given bool // "" may be given, too
}

// Register adds the flag.
func (f *File) Register(fs *flag.FlagSet, about string) {
	fs.Func("config", about+" (default: "+config.DefaultPath+", if it is there)",
		func(path string) error {
			f.Path, f.Given = path, true
			return nil
		})
}

// Name is the file that is meant; "" is the embedded default.
func (f *File) Name() string {
	if f.Given {
		return f.Path
	}
	return config.Usual(Usual)
}

// Serve is how a node with this file is started.
func (f *File) Serve() string {
	switch {
	case !f.Given:
		return "postroad serve"
	case f.Path == "":
		return `postroad serve --config ""`
	}
	return "postroad serve --config " + f.Path
}

// Node say which node a command talks to.
type Node struct {
	Config  File
	Node    string
	Version uint64 // of what was pushed; for config show
}

// Register adds the flags.
func (n *Node) Register(fs *flag.FlagSet) {
	n.Config.Register(fs, "the `FILE` that the node was started with")
	fs.StringVar(&n.Node, "node", "",
		"the node: `PATH` of its socket or data directory, or HOST:PORT (default $POSTROAD_NODE)")
}

// Client returns a client of the node. The token for HOST:PORT is POSTROAD_TOKEN, or that of the
// configuration file.
func (n *Node) Client() (*client.Client, error) {
	target, token := cmp.Or(n.Node, os.Getenv("POSTROAD_NODE")), os.Getenv("POSTROAD_TOKEN")
	if target != "" && !n.Config.Given {
		return client.New(socketIn(target), token), nil
	}
	file := n.Config.Name()
	cfg, err := config.Load(file)
	if err != nil {
		return nil, ConfigError(err)
	}
	says := ""
	if n.Node == "" { // --config says more than the environment
		target, says = cfg.SocketPath(), file
	}
	if token == "" && client.IsAddress(target) && cfg.Admin.TokenFile != "" {
		if token, err = config.ReadSecret(cfg.Admin.TokenFile); err != nil {
			return nil, ConfigError(err)
		}
	}
	return client.New(socketIn(target), token).SaidBy(says), nil
}

// socketIn is the socket in target when that is a data directory.
func socketIn(target string) string {
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		return filepath.Join(target, config.SocketName)
	}
	return target
}

// ConfigError gives an error of reading the configuration its exit status.
func ConfigError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &api.Error{Exit: api.ExitPermission, Message: err.Error(),
			Hint: "run the command as a user who may read it; what talks to a node that runs " +
				"needs no file: --node DATA-DIRECTORY, or POSTROAD_NODE"}
	}
	return &api.Error{Exit: api.ExitConfig, Message: err.Error(),
		Hint: "docs/configuration.md, or `postroad config reference`, has every key"}
}
