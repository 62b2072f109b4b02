package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/unixsock"
)

// doors are where a Server listens.
type doors struct {
	onSocket bool
	overTCP  http.Handler
	mu       struct {
		sync.Mutex
		group   *int         // that may open the socket
		address string       // of TCP, as it was asked for
		tcp     *http.Server // nil when there is none
		on      net.Addr     // of tcp
		servers []*http.Server
	}
}

// listen begins to serve. After an error nothing is served.
func (s *Server) listen(m *http.ServeMux) error {
	s.overTCP = s.guard(m)
	if s.o.Socket != "" {
		l, err := unixsock.Listen(s.o.Socket)
		if err != nil {
			return fmt.Errorf("administration socket: %w", err)
		}
		s.onSocket = true
		s.mu.Lock()
		s.serve(l, m)
		s.mu.Unlock()
		if _, err := s.Admit(s.o.Group); err != nil {
			return errors.Join(err, s.Shutdown(context.Background()))
		}
	}
	move, _, err := s.Move(s.o.Address)
	if err != nil {
		return errors.Join(err, s.Shutdown(context.Background()))
	}
	move()
	return nil
}

// Admit lets a group open the socket, and the one before no more; nil: none may. back undoes it.
func (s *Server) Admit(group *int) (back func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	former := s.mu.group
	if !s.onSocket || group == former || group != nil && former != nil && *group == *former {
		return func() {}, nil
	}
	if err := unixsock.Share(s.o.Socket, group); err != nil {
		if errors.Is(err, os.ErrPermission) {
			err = fmt.Errorf("%w: the node's user must be in the group of admin.socket_group", err)
		}
		return nil, errors.Join(fmt.Errorf("administration socket: %w", err),
			unixsock.Share(s.o.Socket, former))
	}
	s.mu.group = group
	return func() {
		if _, err := s.Admit(former); err != nil {
			s.o.Logf("%v", err)
		}
	}, nil
}

// leaveWait is how long what came over a former address may take to be answered.
const leaveWait = 10 * time.Minute

// Move opens another TCP address, "" for none. move serves it in place of the former one, on which
// what is being answered is answered to its end; stay gives it up.
func (s *Server) Move(address string) (move, stay func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if address == s.mu.address {
		return func() {}, func() {}, nil
	}
	var l net.Listener
	if address != "" {
		if l, err = net.Listen("tcp", address); err != nil {
			return nil, nil, fmt.Errorf("administration address: %w", err)
		}
	}
	return func() { s.move(address, l) }, func() {
		if l != nil {
			l.Close()
		}
	}, nil
}

func (s *Server) move(address string, l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	former := s.mu.tcp
	s.mu.address, s.mu.tcp, s.mu.on = address, nil, nil
	if l != nil {
		s.mu.tcp, s.mu.on = s.serve(l, s.overTCP), l.Addr()
	}
	if former != nil {
		go s.leave(former)
	}
}

// leave ends a server whose address is no longer ours. It is among those that Shutdown ends until
// then.
func (s *Server) leave(srv *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveWait)
	defer cancel()
	if srv.Shutdown(ctx) != nil {
		srv.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.servers = slices.DeleteFunc(s.mu.servers,
		func(other *http.Server) bool { return other == srv })
}

// Addr returns the TCP address, or nil.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.on
}

// serve serves a listener. It is called with mu held.
func (s *Server) serve(l net.Listener, h http.Handler) *http.Server {
	srv := &http.Server{
		Handler: bounding(h), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: readWait,
		WriteTimeout: writeWait, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	s.mu.servers = append(s.mu.servers, srv)
	go srv.Serve(bounded(l))
	return srv
}

// Shutdown stops listening, waits for what is being answered until ctx ends, and closes.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	servers := slices.Clone(s.mu.servers)
	s.mu.Unlock()
	var errs []error
	for _, srv := range servers {
		if err := srv.Shutdown(ctx); err != nil {
			errs = append(errs, err, srv.Close())
		}
	}
	if s.onSocket {
		if err := os.Remove(s.o.Socket); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
