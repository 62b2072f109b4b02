package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
)

const traceHelp = `
Shows each step of a message: accepted, tried, delivered or failed, and what of it waits now. Any node answers, from the event logs and
queues of all. With --recipient or --sender: of all messages with these addresses that something happened to since then.

    postroad trace 06g3k2v8q4w0a1b2
    postroad trace --recipient alice@example.net --since 4h`

func runTrace(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	var n nodeFlags
	n.register(fs)
	var t api.TraceRequest
	fs.StringVar(&t.Recipient, "recipient", "",
		"messages to this `ADDRESS`; with an ID, its steps for this recipient")
	fs.StringVar(&t.Sender, "sender", "", "messages from this `ADDRESS`; <> for delivery reports")
	fs.Func("since",
		"messages that something happened to in the last `TIME`, such as 90m or 4d (default "+
			"2d); with an ID, its steps since then (default all)", func(s string) error {
			return t.Since.UnmarshalText([]byte(s))
		})
	asJSON := fs.Bool("json", false, "print one JSON object a line")
	var err error
	if t.IDs, err = c.Parse(fs, args); err != nil {
		return err
	}
	if err := t.Check(); err != nil {
		return err
	}
	client, err := n.client()
	if err != nil {
		return err
	}
	defer client.Close()
	total, err := client.Trace(ctx, t, func(raw json.RawMessage) error {
		if *asJSON {
			return c.Line(raw)
		}
		return printStep(c, raw)
	})
	if total != nil && total.Truncated {
		fmt.Fprintln(c.Err, "there is more, which is older; give an ID, or a shorter --since")
	}
	return err
}

// event is what a step's line says of an event of the log.
type event struct {
	Type       string `json:"type"`
	Sender     string `json:"sender"`
	Recipient  string `json:"recipient"`
	Original   string `json:"orig_recipient"`
	OriginalID string `json:"orig_id"`
	Recipients int    `json:"num_recipients"`
	Size       int64  `json:"size"`
	Attempts   int    `json:"num_attempts"`
	Response   struct {
		Code     int    `json:"code"`
		Content  string `json:"content"`
		Enhanced *struct {
			Class   int `json:"class"`
			Subject int `json:"subject"`
			Detail  int `json:"detail"`
		} `json:"enhanced_code"`
	} `json:"response"`
	Peer struct {
		Name string `json:"name"`
		Addr string `json:"addr"`
	} `json:"peer_address"`
	Next      int64  `json:"next_attempt"`
	Duplicate bool   `json:"possible_duplicate"`
	User      string `json:"user"`
}

// printStep prints one step of a journey: when, where, which message, what.
func printStep(c *cli.Console, raw json.RawMessage) error {
	var item api.TraceItem
	if err := json.Unmarshal(raw, &item); err != nil {
		return err
	}
	begin := fmt.Sprintf("%s  %s  %s  ", item.At.Local().Format("2006-01-02 15:04:05.000"),
		cli.Clean(item.Node), cli.Clean(item.ID))
	if item.Queue != nil {
		fmt.Fprintf(c.Out, "%s%-16s %s\n", begin, "in the queue", item.Queue.State)
		for i := range item.Queue.Recipients {
			if err := printRecipient(c, &item.Queue.Recipients[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var e event
	if err := json.Unmarshal(item.Event, &e); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.Out, "%s%-16s %s\n", begin, cli.Clean(e.Type), cli.Clean(e.about()))
	return err
}

// about is an event in words.
func (e *event) about() string {
	host := e.Peer.Name
	if literal := "[" + e.Peer.Addr + "]"; e.Peer.Addr != "" && host != literal {
		host += literal
	}
	if e.Type == "Reception" {
		words := fmt.Sprintf("from <%s> %s, %d octets", e.Sender, e.to(e.Recipients-1), e.Size)
		if host != "" {
			words += ", by " + host
		}
		if e.User != "" {
			words += ", logged in as " + e.User
		}
		return words
	}
	words := []string{e.to(0)}
	if e.Attempts > 0 {
		words = append(words, "attempt "+strconv.Itoa(e.Attempts))
	}
	if answer := e.answer(); answer != "" {
		if host != "" {
			answer = host + ": " + answer
		}
		words = append(words, answer)
	}
	if e.Duplicate {
		words = append(words, "may be a duplicate: an earlier attempt was cut off")
	}
	if e.Next > 0 {
		words = append(words, "next at "+time.Unix(e.Next, 0).Local().Format("15:04:05"))
	}
	return strings.Join(words, ", ")
}

// to is to whom it is, with so many more, and whom the sender meant.
func (e *event) to(more int) string {
	to := "to <" + e.Recipient + ">"
	if more > 0 {
		to += " and " + strconv.Itoa(more) + " more"
	}
	if e.Original != "" {
		to += " for <" + e.Original + ">"
	}
	if e.OriginalID != "" {
		to += " of " + e.OriginalID
	}
	return to
}

// answer is the reply that decided, ours or the peer's.
func (e *event) answer() string {
	r, code := &e.Response, ""
	if r.Code > 0 {
		code = strconv.Itoa(r.Code) + " "
	}
	if x := r.Enhanced; x != nil {
		code += fmt.Sprintf("%d.%d.%d ", x.Class, x.Subject, x.Detail)
	}
	return strings.TrimSpace(code + r.Content)
}
