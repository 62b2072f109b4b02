package main

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

// usual is the file that is taken when none is named and it is there. Tests have one of their own.
var usual = config.DefaultPath

// configFile is the flag --config.
type configFile struct {
	path  string
	given bool // "" may be given, too
}

func (f *configFile) register(fs *flag.FlagSet, about string) {
	fs.Func("config", about+" (default: "+config.DefaultPath+", if it is there)",
		func(path string) error {
			f.path, f.given = path, true
			return nil
		})
}

// name is the file that is meant; "" is the embedded default.
func (f *configFile) name() string {
	if f.given {
		return f.path
	}
	return config.Usual(usual)
}

// serve is how a node with this file is started.
func (f *configFile) serve() string {
	switch {
	case !f.given:
		return "postroad serve"
	case f.path == "":
		return `postroad serve --config ""`
	}
	return "postroad serve --config " + f.path
}

// nodeFlags say which node a command talks to.
type nodeFlags struct {
	config  configFile
	node    string
	version uint64 // of what was pushed; for config show
}

func (n *nodeFlags) register(fs *flag.FlagSet) {
	n.config.register(fs, "the `FILE` that the node was started with")
	fs.StringVar(&n.node, "node", "",
		"the node: `PATH` of its socket or data directory, or HOST:PORT (default $POSTROAD_NODE)")
}

// client returns a client of the node. The token for HOST:PORT is POSTROAD_TOKEN, or that of the
// configuration file.
func (n *nodeFlags) client() (*client.Client, error) {
	target, token := cmp.Or(n.node, os.Getenv("POSTROAD_NODE")), os.Getenv("POSTROAD_TOKEN")
	if target != "" && !n.config.given {
		return client.New(socketIn(target), token), nil
	}
	file := n.config.name()
	cfg, err := config.Load(file)
	if err != nil {
		return nil, configError(err)
	}
	says := ""
	if n.node == "" { // --config says more than the environment
		target, says = cfg.SocketPath(), file
	}
	if token == "" && client.IsAddress(target) && cfg.Admin.TokenFile != "" {
		if token, err = config.ReadSecret(cfg.Admin.TokenFile); err != nil {
			return nil, configError(err)
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

// configError gives an error of reading the configuration its exit status.
func configError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &api.Error{Exit: api.ExitPermission, Message: err.Error(),
			Hint: "run the command as a user who may read it; what talks to a node that runs " +
				"needs no file: --node DATA-DIRECTORY, or POSTROAD_NODE"}
	}
	return &api.Error{Exit: api.ExitConfig, Message: err.Error(),
		Hint: "docs/configuration.md, or `postroad config reference`, has every key"}
}
