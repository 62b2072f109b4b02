package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/operate/admin/api"
)

// importRoutes stage users, in requests of some hundred each, and publish what is staged.
func (s *Server) importRoutes(m *http.ServeMux) {
	m.Handle("POST /v1/users/stage", s.known(s.stage))
	m.Handle("POST /v1/users/publish", s.known(s.publish))
	m.Handle("POST /v1/users/discard", s.known(s.discard))
	m.Handle("GET /v1/users/stages", handler(s.stages))
	m.Handle("GET /v1/users/export", handler(s.exportUsers))
	m.Handle("POST /v1/users/sync", s.known(s.syncUsers))
}

func (s *Server) syncUsers(w http.ResponseWriter, r *http.Request) error {
	var request api.SyncRequest
	if err := read(w, r, &request); err != nil {
		return err
	}
	// a long list takes its time
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	did, err := s.o.Users.Sync(r.Context(), request.Force)
	if err != nil {
		return directoryError(err)
	}
	return answer(w, api.SyncAnswer{Users: did.Users, Changed: did.Changed, Removed: did.Removed,
		Kept: did.Kept, Refused: did.Refused})
}

func (s *Server) stage(w http.ResponseWriter, r *http.Request) error {
	var request api.StageRequest
	if err := read(w, r, &request); err != nil {
		return err
	}
	var a api.StageAnswer
	batch, numbers := make([]directory.Imported, 0, len(request.Users)), []int(nil)
	for i := range request.Users {
		one, err := imported(&request.Users[i])
		if err != nil {
			a.Refused = append(a.Refused, api.RefusedUser{Number: i, Why: err.Error()})
			continue
		}
		batch, numbers = append(batch, one), append(numbers, i)
	}
	refused, err := s.o.Users.Import(r.Context(), request.Stage, batch, request.Replace)
	if err != nil {
		return directoryError(err)
	}
	for _, one := range refused {
		a.Refused = append(a.Refused, api.RefusedUser{Number: numbers[one.Number],
			Why: one.Why.Error()})
	}
	return answer(w, a)
}

func imported(u *api.ImportedUser) (i directory.Imported, err error) {
	i.Name = u.Name
	applySettings(&u.UserSettings, &i.Settings)
	if u.Hash != "" {
		if i.Hash, i.Scram, err = directory.ParseHash(u.Hash); err != nil {
			return i, err
		}
	}
	if u.Scram != "" {
		_, i.Scram, err = directory.ParseHash(u.Scram)
	}
	return i, err
}

// publish streams how many users are visible, and at last how many are and how many were kept back.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) error {
	return s.staged(w, r, s.o.Users.Commit)
}

func (s *Server) discard(w http.ResponseWriter, r *http.Request) error {
	return s.staged(w, r,
		func(ctx context.Context, stage string, progress func(int)) (int, int, error) {
			n, err := s.o.Users.Discard(ctx, stage, progress)
			return n, 0, err
		})
}

func (s *Server) staged(
	w http.ResponseWriter, r *http.Request,
	do func(context.Context, string, func(int)) (done, kept int, err error),
) error {
	var request api.StageRequest
	if err := read(w, r, &request); err != nil {
		return err
	}
	return streaming(w, func(out *stream) (*api.Total, error) {
		done, kept, err := do(r.Context(), request.Stage, func(n int) { out.moved(int64(n)) })
		if err != nil {
			return nil, directoryError(err)
		}
		return &api.Total{Node: s.o.Node, Recipients: int64(done),
			States: map[string]int64{"kept": int64(kept)}}, nil
	})
}

func (s *Server) stages(w http.ResponseWriter, r *http.Request) error {
	return s.lists(w, r, func(out *stream, _ *api.Total) error {
		all, err := s.o.Users.Imports()
		for _, one := range all {
			out.item(api.Stage{Name: one.Name, Users: one.Users})
		}
		return err
	})
}

func (s *Server) exportUsers(w http.ResponseWriter, r *http.Request) error {
	return listing(s, w, r, s.o.Users.List, func(u *directory.User) (string, any) {
		return u.Name, &api.ExportedUser{User: *wireUser(u), Hash: directory.FormatHash(u.Hash),
			Secret: directory.FormatScram(u.Scram)}
	})
}
