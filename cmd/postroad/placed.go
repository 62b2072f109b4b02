package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/node"
	"github.com/postroad/postroad/operate/admin/api"
)

// placed gives an error that comes of what is around the program, and not of a fault in it, its
// exit status, and says what to do. What has its place keeps it.
func placed(command string, err error) error {
	if errors.As(err, new(*api.Error)) || errors.As(err, new(config.Problems)) {
		return err
	}
	if errors.Is(err, cluster.ErrInUse) {
		return &api.Error{
			Exit:    api.ExitTemporary,
			Message: err.Error(),
			Hint: "a node runs on this data directory already, or a command is at work on " +
				"it: let it end, or stop it",
		}
	}
	if errors.Is(err, cluster.ErrLost) {
		return &api.Error{
			Exit:    api.ExitConfig,
			Message: err.Error(),
			Hint: "nothing was changed; if this comes from a file that was put back or moved, " +
				"undo that. With other nodes in the cluster: " +
				"empty the data directory, join under another name, and run `postroad cluster " +
				"replace OLD NEW`",
		}
	}
	var at *net.OpError
	if errors.As(err, &at) && at.Op == "listen" {
		return unheard(command, at, err)
	}
	var path *fs.PathError
	if command != "serve" && errors.As(err, &path) { // a node's own files are another matter
		return unusable(path, err)
	}
	return err
}

// unheard is of an address on which nobody can listen.
func unheard(command string, at *net.OpError, err error) error {
	e := &api.Error{Exit: api.ExitTemporary, Message: err.Error()}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		if command == "serve" {
			e.Exit = api.ExitConfig // the service manager starts it in vain, again and again
		}
		e.Hint = fmt.Sprintf(
			"another program has %s (`ss -ltnp` shows which): "+
				"stop it, or configure another address",
			at.Addr,
		)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Hint = fmt.Sprintf(
			"this machine has no address %s now: add it, or configure one that is there",
			at.Addr,
		)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		e.Exit = api.ExitPermission
		e.Hint = "ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit)"
	default:
		return err
	}
	return e
}

// unusable is of a file that was named to a command.
func unusable(path *fs.PathError, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &api.Error{
			Exit:    api.ExitPermission,
			Message: err.Error(),
			Hint:    "run the command as the user who may use " + path.Path,
		}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist),
		errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return &api.Error{Exit: api.ExitData, Message: err.Error(), Hint: "name another file"}
	}
	return node.DiskTrouble(path.Path, err)
}
