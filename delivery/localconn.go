package delivery

import (
	"errors"
	"io"
	"net/netip"
	"sync"

	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/message"
	"github.com/postroad/postroad/internal/smtp"
)

// localConn is a connection of the local site: a Conn that hands one message at a time to the
// store. It belongs to the goroutine that uses it, but for Abort and the store's answer.
type localConn struct {
	store  LocalStore
	t      *transaction // under way: what the store wants to know and a client does not
	m      *LocalMessage
	places []int // of m's recipients in the transaction
	lines  []byte
	trail  message.Trail // scratch
	answer chan []*smtp.Failure
	done   func([]*smtp.Failure)
	cut    chan struct{}
	abort  sync.Once
	dead   bool
}

func newLocalConn(store LocalStore) *localConn {
	l := &localConn{store: store, m: &LocalMessage{}, answer: make(chan []*smtp.Failure, 1),
		cut: make(chan struct{})}
	l.done = func(failures []*smtp.Failure) { l.answer <- failures }
	return l
}

var (
	errLocalCut = errors.New("the delivery was called off")
	stored      = succeeded("delivered to mailbox")
	listed      = succeeded("passed on to the members of the list")
	passedOn    = succeeded("passed on to the addresses of the alias")
	localOffers smtpclient.Offers
)

// Deliver stores the message for all recipients but those in whose mailboxes it has been. When it
// is cut off the outcome is not known, which is as good as nothing attempted: the next attempt has
// the same key.
func (l *localConn) Deliver(tx *smtpclient.Transaction) smtpclient.Result {
	res := smtpclient.Result{Recipients: tx.Results}
	defer l.forget()
	if f := l.address(tx, res.Recipients); f != nil {
		for i := range res.Recipients {
			res.Recipients[i] = localStatus(f)
		}
		return res
	}
	if len(l.m.Recipients) == 0 {
		return res
	}
	if err := tx.BeforeEnd(); err != nil {
		l.dead = true
		return smtpclient.Result{Aborted: true, Err: err}
	}
	l.store.Deliver(l.m, l.done)
	select {
	case failures := <-l.answer:
		for i, place := range l.places {
			res.Recipients[place] = localStatus(failures[i])
		}
		return res
	case <-l.cut:
		l.dead = true
		l.m = nil // it is the store's until that has answered
		return smtpclient.Result{Aborted: true, Err: errLocalCut}
	}
}

// address makes the message of a transaction. Recipients in whose mailboxes it has been fail here,
// and those whose mail went on before succeed.
func (l *localConn) address(tx *smtpclient.Transaction, results []smtpclient.Status) *smtp.Failure {
	head, err := l.beginning(tx)
	if err != nil {
		return smtp.Temp(smtp.LocalError, "4.3.0", "The content cannot be read from our store: "+
			err.Error())
	}
	l.trail.Read(head)
	*l.m = LocalMessage{Message: l.t.message, Recipients: l.m.Recipients[:0], Content: tx.Content,
		Open: tx.Open}
	l.places, l.lines = l.places[:0], l.lines[:0]
	for i := range tx.Recipients {
		address := tx.Recipients[i].Address
		switch notify := tx.Recipients[i].Notify; {
		case notify&mail.PassedOn != 0:
			results[i] = passedOn
			continue
		case notify&mail.PassedToList != 0:
			results[i] = listed
			continue
		}
		if l.trail.Loops(address) {
			results[i] = localStatus(errLoop)
			continue
		}
		from := len(l.lines)
		l.lines = appendPrefix(l.lines, tx.Sender, address)
		// stays good when lines grows: then it lies in the old array
		prefix := l.lines[from:len(l.lines):len(l.lines)]
		l.m.Recipients = append(l.m.Recipients, LocalRecipient{Number: l.t.recipients[i],
			Address: address, Prefix: prefix})
		l.places = append(l.places, i)
	}
	return nil
}

// beginning returns the content's first octets.
func (l *localConn) beginning(tx *smtpclient.Transaction) ([]byte, error) {
	if tx.Content != nil || tx.Open == nil {
		return tx.Content[:min(len(tx.Content), message.MaxTrailHead)], nil
	}
	r, err := tx.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	head := make([]byte, message.MaxTrailHead)
	n, err := io.ReadFull(r, head)
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		err = nil
	}
	return head[:n], err
}

// forget lets go of the message: the connection may lie idle for long.
func (l *localConn) forget() {
	l.trail.Clear()
	l.t = nil
	if l.m != nil {
		clear(l.m.Recipients)
		*l.m = LocalMessage{Recipients: l.m.Recipients[:0]}
	}
}

func succeeded(text string) smtpclient.Status {
	return smtpclient.Status{Code: smtp.Completed, Enhanced: "2.0.0", Text: text,
		Command: smtpclient.StepEnd}
}

func localStatus(f *smtp.Failure) smtpclient.Status {
	if f == nil {
		return stored
	}
	return smtpclient.Status{Code: f.Code, Enhanced: f.Enhanced, Text: f.Text,
		Command: smtpclient.StepEnd, Local: storeTrouble(f.Enhanced)}
}

func (l *localConn) Usable() bool               { return !l.dead }
func (l *localConn) Alive() bool                { return !l.dead }
func (l *localConn) Offers() *smtpclient.Offers { return &localOffers }
func (l *localConn) TLS() string                { return "" }
func (l *localConn) Remote() netip.AddrPort     { return netip.AddrPort{} }
func (l *localConn) Local() netip.AddrPort      { return netip.AddrPort{} }
func (l *localConn) Quit()                      {}
func (l *localConn) Abort()                     { l.abort.Do(func() { close(l.cut) }) }
