package operator

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
)

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

// PrintStep prints one step of a journey: when, where, which message, what.
func PrintStep(c *cli.Console, raw json.RawMessage) error {
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
