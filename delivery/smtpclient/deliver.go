package smtpclient

import (
	"bytes"
	"io"
)

// Deliver sends one message. It does not fail: what went wrong is in the recipients' statuses.
//
// With PIPELINING a small message takes two writes and two reads: MAIL, RCPT and DATA go together,
// and the content goes with its end.
func (c *Conn) Deliver(tx *Transaction) Result {
	x := &c.x
	*x = exchange{c: c, tx: tx, results: emptyStatuses(tx)}
	defer x.forget()
	res := Result{Recipients: x.results}
	if c.dead != nil {
		x.spread(c.dead.Status)
		res.Err, res.Retry = c.dead, c.transactions > 0
		return res
	}
	var refused *Status
	if x.form, refused = c.negotiate(tx, x.results); refused != nil {
		x.spread(*refused)
		return res
	}
	if !x.any() {
		return res
	}
	if x.form.converted != nil {
		x.tx = x.form.converted
	}
	used := c.transactions > 0
	c.transactions++
	c.borrow()
	err := x.envelope()
	if err == nil {
		err = x.content()
	}
	c.giveBack()
	if err != nil {
		x.spread(err.Status)
	}
	if c.dead != nil {
		res.Err = c.dead
		c.close()
	}
	res.Retry = used && err != nil && !x.heard
	res.Aborted = x.aborted
	return res
}

// forget lets go of the caller's transaction: the connection may lie idle for long.
func (x *exchange) forget() { *x = exchange{} }

// any reports whether there is a recipient left to send to.
func (x *exchange) any() bool {
	for i := range x.results {
		if x.results[i].Code == 0 {
			return true
		}
	}
	return false
}

func emptyStatuses(tx *Transaction) []Status {
	n := len(tx.Recipients)
	if cap(tx.Results) < n {
		return make([]Status, n)
	}
	results := tx.Results[:n]
	clear(results)
	return results
}

// reader returns the content from its beginning.
func (tx *Transaction) reader() (io.ReadCloser, error) {
	if tx.Content != nil || tx.Open == nil {
		return io.NopCloser(bytes.NewReader(tx.Content)), nil
	}
	return tx.Open()
}

// size returns the octets of the content.
func (tx *Transaction) size() int64 {
	if tx.Content != nil {
		return int64(len(tx.Content))
	}
	return tx.Size
}
