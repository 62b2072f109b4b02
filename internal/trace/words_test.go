package trace

import "testing"

func TestWords(t *testing.T) {
	for line, want := range map[string]string{
		`{"type":"Reception","sender":"a@x","recipient":"b@y","num_recipients":3,"size":12,` +
			`"peer_address":{"name":"h.x","addr":"192.0.2.1"},"user":"a@x","message_id":"<m@x>",` +
			`"session_id":"s-1"}`: "Reception: from <a@x> to <b@y> and 2 more, 12 octets, " +
			"by h.x[192.0.2.1], logged in as a@x, Message-ID <m@x>, session s-1",
		`{"type":"Reception","orig_id":"01","sender":"","recipient":"a@x","size":12,"response":{` +
			`"content":"delay notification"},"reception_protocol":"internal"}`: "Reception: " +
			"delay notification from <> to <a@x> of 01, 12 octets",
		`{"type":"Rejection","sender":"a@x","recipient":"b@y","recipients":["b@y","c@y"],` +
			`"num_recipients":2,"response":{"code":552,"enhanced_code":{"class":5,"subject":3,` +
			`"detail":4},"content":"Too big","command":"DATA"},"session_id":"s-1"}`: "Rejection: " +
			"552 5.3.4 Too big, to DATA, from <a@x> to <b@y> and 1 more, session s-1",
		`{"type":"Rejection","sender":"","recipient":"","response":{"code":554,` +
			`"content":"Go away"},"peer_address":{"name":"","addr":"192.0.2.1"}}`: "Rejection: " +
			"554 Go away, to the connection, from <>, by [192.0.2.1]",
		`{"type":"Delivery","recipient":"b@y","num_attempts":2,"possible_duplicate":true,` +
			`"response":{"code":250,"content":"ok"},"peer_address":{"name":"h.x"}}`: "Delivery: " +
			"to <b@y>, attempt 2, h.x: 250 ok, may be a duplicate: an earlier attempt was cut off",
	} {
		kind, words, err := Words([]byte(line))
		if got := kind + ": " + words; err != nil || got != want {
			t.Errorf("%s\n got %s\nwant %s\n%v", line, got, want, err)
		}
	}
	if _, _, err := Words([]byte(`{"type":3}`)); err == nil {
		t.Error("what is no event has words")
	}
}
