package trace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Words says in words what a line of the event log says. They are as the peers wrote them: clean
// them before they reach a terminal.
func Words(line json.RawMessage) (kind, words string, err error) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return "", "", err
	}
	return e.Type, e.about(), nil
}

// event is what is told of an event of the log.
type event struct {
	Type       string   `json:"type"`
	Sender     string   `json:"sender"`
	Recipient  string   `json:"recipient"`
	Original   string   `json:"orig_recipient"`
	OriginalID string   `json:"orig_id"`
	Recipients int      `json:"num_recipients"`
	Refused    []string `json:"recipients"`
	Size       int64    `json:"size"`
	Attempts   int      `json:"num_attempts"`
	Response   struct {
		Code     int    `json:"code"`
		Content  string `json:"content"`
		Command  string `json:"command"`
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
	Protocol  string `json:"reception_protocol"`
	MessageID string `json:"message_id"`
	Session   string `json:"session_id"`
}

// about is an event in words.
func (e *event) about() string {
	host := e.Peer.Name
	if literal := "[" + e.Peer.Addr + "]"; e.Peer.Addr != "" && host != literal {
		host += literal
	}
	switch e.Type {
	case "Reception":
		return e.came(e.Recipients, host)
	case "Rejection":
		return e.answer() + ", to " + cmp.Or(e.Response.Command, "the connection") + ", " +
			e.came(len(e.Refused), host)
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

// came is what a message for some recipients that came was, or would have been.
func (e *event) came(recipients int, host string) string {
	words := []string{"from <" + e.Sender + ">"}
	if report := e.Response.Content; e.Type == "Reception" && e.Protocol == "internal" {
		words[0] = report + " " + words[0]
	}
	if e.Recipient != "" {
		words[0] += " " + e.to(recipients-1)
	}
	if e.Size > 0 {
		words = append(words, strconv.FormatInt(e.Size, 10)+" octets")
	}
	if host != "" {
		words = append(words, "by "+host)
	}
	if e.User != "" {
		words = append(words, "logged in as "+e.User)
	}
	if e.MessageID != "" {
		words = append(words, "Message-ID "+e.MessageID)
	}
	if e.Session != "" {
		words = append(words, "session "+e.Session)
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
