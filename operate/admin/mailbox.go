package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/operate/admin/api"
)

// Mailboxes does what the mailbox commands ask for, wherever in the cluster the mailboxes are.
type Mailboxes interface {
	// Each calls fn with each mailbox in the order of their addresses until it returns false.
	Each(ctx context.Context, fn func(*mailbox.Mailbox) bool) error
	Show(ctx context.Context, address string) (mailbox.Mailbox, []mailbox.Folder, error)
	// Export writes all messages as a stream of package mailbox/archive.
	Export(ctx context.Context, address string, w io.Writer) error
	// Import appends the messages of such a stream in their order, except the first skip, and tells
	// how many are done. Those are done also when it fails.
	Import(ctx context.Context, address string, skip int64, r io.Reader,
		done func(int64)) (int64, error)
}

var errNoMailboxes = api.Fail(api.ExitConfig, "this node knows no mailboxes",
	"`postroad domain add DOMAIN` makes a domain local")

func (s *Server) mailboxRoutes(m *http.ServeMux) {
	if s.o.Mailboxes == nil {
		m.Handle("/v1/mailboxes",
			handler(func(http.ResponseWriter, *http.Request) error { return errNoMailboxes }))
		m.Handle("/v1/mailboxes/",
			handler(func(http.ResponseWriter, *http.Request) error { return errNoMailboxes }))
		return
	}
	m.Handle("GET /v1/mailboxes", handler(s.mailboxes))
	m.Handle("GET /v1/mailboxes/show", s.known(s.showMailbox))
	m.Handle("GET /v1/mailboxes/export", s.known(s.exportMailbox))
	m.Handle("POST /v1/mailboxes/import", s.known(s.importMailbox))
}

func (s *Server) mailboxes(w http.ResponseWriter, r *http.Request) error {
	return s.lists(w, r, func(out *stream, total *api.Total) error {
		return mailboxError(s.o.Mailboxes.Each(r.Context(), func(b *mailbox.Mailbox) bool {
			total.Recipients, total.Messages = total.Recipients+1, total.Messages+int64(b.Messages)
			return out.item(wireMailbox(b))
		}))
	})
}

func wireMailbox(b *mailbox.Mailbox) *api.Mailbox {
	return &api.Mailbox{Address: b.Address, Messages: b.Messages, Octets: b.Bytes, Soft: b.Soft,
		Hard:      b.Hard,
		Retention: int64(b.Retention / time.Second), Created: api.At(b.Created)}
}

func (s *Server) showMailbox(w http.ResponseWriter, r *http.Request) error {
	b, folders, err := s.o.Mailboxes.Show(r.Context(), r.FormValue("address"))
	if err != nil {
		return mailboxError(err)
	}
	detail := wireMailbox(&b)
	for _, f := range folders {
		detail.Folders = append(detail.Folders, api.Folder{Name: f.Name, Messages: f.Messages,
			Octets: f.Bytes, Unseen: f.Unseen, Deleted: f.Deleted,
			Retention: int64(f.Retention / time.Second), UIDValidity: f.Validity, UIDNext: f.Next})
	}
	return answer(w, detail)
}

// exportMailbox answers with octets. After the first of them an error can only be told by cutting
// the answer off.
func (s *Server) exportMailbox(w http.ResponseWriter, r *http.Request) error {
	address := r.FormValue("address")
	s.o.Logf("admin: mailbox export %s", address)
	w.Header().Set("Content-Type", "application/octet-stream")
	out := &counting{w: deadlineWriter{w, http.NewResponseController(w)}}
	err := s.o.Mailboxes.Export(r.Context(), address, out)
	if err != nil && out.n > 0 {
		s.o.Logf("admin: the export of %s was cut off: %v", address, err)
		panic(http.ErrAbortHandler)
	}
	return mailboxError(err)
}

// importMailbox reads octets and answers with progress meanwhile.
func (s *Server) importMailbox(w http.ResponseWriter, r *http.Request) error {
	address := r.FormValue("address")
	skip, err := skipOf(r)
	if err != nil {
		return err
	}
	rc := http.NewResponseController(w)
	if err := rc.EnableFullDuplex(); err != nil {
		return err
	}
	s.o.Logf("admin: mailbox import %s", address)
	return streaming(w, func(out *stream) (*api.Total, error) {
		body := deadlineReader{r.Body, rc}
		n, err := s.o.Mailboxes.Import(r.Context(), address, skip, body, out.moved)
		if err != nil {
			out.item(api.Imported{Messages: n}) // so that it can go on from there
		} else {
			// the end of the request, without which the connection could not be used again
			_, err = io.Copy(io.Discard, body)
		}
		return &api.Total{Node: s.o.Node, Messages: n}, mailboxError(err)
	})
}

// deadlineReader gives the client new time for each block.
type deadlineReader struct {
	r  io.Reader
	rc *http.ResponseController
}

func (d deadlineReader) Read(p []byte) (int, error) {
	if err := d.rc.SetReadDeadline(time.Now().Add(readWait)); err != nil {
		return 0, err
	}
	return d.r.Read(p)
}

// mailboxError gives the refusals of mailboxes their exit status; what else fails may pass.
func mailboxError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mailbox.ErrNoMailbox):
		return api.Fail(api.ExitData, err.Error(),
			"a mailbox is made when its user first gets mail or logs in; `postroad mailbox "+
				"list` shows which there are")
	case errors.Is(err, mailbox.ErrName), errors.Is(err, mailbox.ErrTooMany):
		return api.Fail(api.ExitData, err.Error(), "")
	}
	return err
}

func skipOf(r *http.Request) (int64, error) {
	skip, err := strconv.ParseInt(r.FormValue("skip"), 10, 64)
	if err != nil || skip < 0 {
		return 0, api.Fail(api.ExitUsage, "skip is not a number", "")
	}
	return skip, nil
}
