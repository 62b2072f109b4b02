package trace

import (
	"bytes"
	"encoding/json"
	"time"
)

// Lines are looked through without decoding them: most are somebody else's, and decoding costs ten
// times as much. The keys stand as maillog writes them. Within a string a quote is escaped, so that
// a key is nowhere found but where it is one.
var (
	reception     = []byte(`{"type":"Reception"`)
	rejection     = []byte(`{"type":"Rejection"`)
	idKey         = []byte(`,"id":"`)
	origIDKey     = []byte(`,"orig_id":"`)
	senderKey     = []byte(`,"sender":"`)
	recipientKey  = []byte(`,"recipient":"`)
	recipientsKey = []byte(`,"recipients":[`)
	origKey       = []byte(`,"orig_recipient":"`)
	messageIDKey  = []byte(`,"message_id":"`)
	sessionKey    = []byte(`,"session_id":"`)
	timeKey       = []byte(`,"event_time":"`)
)

// member returns the text of the first member with a key, or nil.
func member(line, key []byte) []byte {
	i := bytes.Index(line, key)
	if i < 0 {
		return nil
	}
	rest := line[i+len(key):]
	for end := 0; end < len(rest); end++ {
		switch rest[end] {
		case '"':
			return rest[:end]
		case '\\':
			return unescape(rest, end)
		}
	}
	return nil
}

// list returns the strings of the first member with a key, or nil.
func list(line, key []byte) (all []string) {
	i := bytes.Index(line, key)
	if i < 0 {
		return nil
	}
	if json.NewDecoder(bytes.NewReader(line[i+len(key)-1:])).Decode(&all) != nil {
		return nil
	}
	return all
}

// unescape decodes the string at the front of b, whose first backslash is at from.
func unescape(b []byte, from int) []byte {
	for end := from; end < len(b); end++ {
		if b[end] == '\\' {
			end++
			continue
		}
		if b[end] != '"' {
			continue
		}
		var s string
		if json.Unmarshal(append(append([]byte{'"'}, b[:end]...), '"'), &s) != nil {
			return nil
		}
		return []byte(s)
	}
	return nil
}

// timeOf returns when the event of a line was.
func timeOf(line []byte) (at time.Time, ok bool) {
	text := member(line, timeKey)
	if len(text) == 0 {
		return at, false
	}
	at, err := time.Parse(time.RFC3339, string(text))
	return at, err == nil
}
