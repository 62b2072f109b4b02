package smtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestAppendReply(t *testing.T) {
	tests := []struct {
		code     int
		enhanced string
		lines    []string
		want     string
	}{
		{250, "2.0.0", []string{"Ok"}, "250 2.0.0 Ok\r\n"},
		{354, "", []string{"Go on"}, "354 Go on\r\n"},
		{250, "", []string{"mx.example", "PIPELINING", "SIZE 100"},
			"250-mx.example\r\n250-PIPELINING\r\n250 SIZE 100\r\n"},
		{550, "5.1.1", []string{"a\r\n250 fooled\x00"}, "550 5.1.1 a??250 fooled?\r\n"},
		{501, "", []string{"gr\xc3\xbcn \xc3"}, "501 grün ?\r\n"},
		{250, "", nil, "250 \r\n"},
	}
	for _, tt := range tests {
		if got := string(AppendReply(nil, tt.code, tt.enhanced, tt.lines...)); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if got := AppendReply(nil, 500, "5.5.2", strings.Repeat("ü", 4000)); len(got) > 512 {
		t.Errorf("a reply line of %d octets, RFC 5321 4.5.3.1.5 allows 512", len(got))
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		code           int
		enhanced, text string
		want           string
	}{
		{550, "5.1.1", "no", "5.1.1 no"},
		{550, "5.1.1", "", "5.1.1"},
		{550, "5.0.0", "no", "no"},             // made by us
		{550, "5.0.0", "5.0.0 no", "5.0.0 no"}, // given
		{530, "4.7.0", "5.7.0 no", "5.7.0 no"}, // taken otherwise
		{530, "4.7.0", "no", "no"},
		{451, "4.7.1", "5.7.1 of no such class", "4.7.1 5.7.1 of no such class"},
		{250, "2.0.0", "Ok", "2.0.0 Ok"},
		{451, "", "later", "later"},
	} {
		if got := Words(c.code, c.enhanced, c.text); got != c.want {
			t.Errorf("%d %s %s: %q, want %q", c.code, c.enhanced, c.text, got, c.want)
		}
	}
}

// feed gives data in pieces of size n and returns the replies.
func feed(data []byte, n int) (replies []Reply, err error) {
	var p ReplyParser
	for len(data) > 0 {
		piece := data[:min(n, len(data))]
		data = data[len(piece):]
		for len(piece) > 0 {
			used, done, err := p.Parse(piece)
			if err != nil {
				return replies, err
			}
			if done {
				replies = append(replies, p.Reply())
			}
			piece = piece[used:]
		}
	}
	return replies, nil
}

func TestReplyParser(t *testing.T) {
	tests := []struct {
		in   string
		want []Reply
	}{
		{"220 mx.example ESMTP\r\n", []Reply{{220, "", "mx.example ESMTP"}}},
		{"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n",
			[]Reply{{250, "2.1.0", "Ok"}, {250, "2.1.5", "Ok"}, {354, "", "go"}}},
		{"250-mx\r\n250-SIZE 5\r\n250 DSN\r\n", []Reply{{250, "", "mx\nSIZE 5\nDSN"}}},
		{"550-5.7.1 no\r\n550 5.7.1 way\r\n", []Reply{{550, "5.7.1", "no\nway"}}},
		{"250\r\n", []Reply{{250, "", ""}}},
		{"250 \n", []Reply{{250, "", ""}}},
		{"250 5.1.1 not ours\r\n", []Reply{{250, "", "5.1.1 not ours"}}},
		{"450 4.2.0\r\n", []Reply{{450, "4.2.0", ""}}},
		{"450 4.2000.0 x\r\n", []Reply{{450, "", "4.2000.0 x"}}},
		{"550 a\x00b\xffc\rd\r\n", []Reply{{550, "", "a?b?c?d"}}},
	}
	for _, tt := range tests {
		for n := 1; n <= len(tt.in); n++ {
			got, err := feed([]byte(tt.in), n)
			if err != nil || len(got) != len(tt.want) {
				t.Fatalf("%q in pieces of %d: %v, %v", tt.in, n, got, err)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Fatalf("%q in pieces of %d: %+v, want %+v", tt.in, n, got[i], tt.want[i])
				}
			}
		}
	}
}

func TestReplyParserRefuses(t *testing.T) {
	tests := []struct {
		in   string
		want error
	}{
		{"HTTP/1.1 400\r\n", ErrReplySyntax}, {"\r\n", ErrReplySyntax}, {"25\r\n", ErrReplySyntax},
		{"2500 x\r\n", ErrReplySyntax},
		{"150 x\r\n", ErrReplySyntax}, {"650 x\r\n", ErrReplySyntax},
		{"250-a\r\n251 b\r\n", ErrReplySyntax},
		{"250 " + strings.Repeat("x", 1<<20), ErrReplySize},
		{strings.Repeat("x", 1<<20), ErrReplySize},
		{strings.Repeat("250-x\r\n", 1000), ErrReplySize},
	}
	for _, tt := range tests {
		for _, n := range []int{1, 7, 4096, len(tt.in)} {
			if got, err := feed([]byte(tt.in), n); !errors.Is(err, tt.want) {
				t.Errorf("%.20q in pieces of %d: %v, %v; want %v", tt.in, n, got, err, tt.want)
			}
		}
	}
}

func TestReplyLine(t *testing.T) {
	if got := (Reply{550, "5.1.1", "no\nsuch user"}).Line(); got != "550 5.1.1 no such user" {
		t.Error(got)
	}
	if got := (Reply{Code: 250}).Line(); got != "250" {
		t.Error(got)
	}
}

func TestReplyAllocations(t *testing.T) {
	var p ReplyParser
	in := []byte("250 2.1.5 Ok\r\n")
	n := testing.AllocsPerRun(100, func() {
		if _, done, err := p.Parse(in); !done || err != nil {
			t.Fatal(done, err)
		}
		p.Reply()
	})
	if n > 1 {
		t.Errorf("%v allocations for a reply, want its text alone", n)
	}
}

func FuzzReplyParser(f *testing.F) {
	for _, s := range []string{"220 mx ESMTP\r\n", "250-a\r\n250 2.0.0 b\r\n",
		"550-5.7.1 no\r\n550 5.7.1 way\r\n354 go\r\n", "25", "250-\n250\n"} {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(5))
	}
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		whole, err1 := feed(data, max(len(data), 1))
		split, err2 := feed(data, int(n)+1)
		if len(whole) != len(split) || !errors.Is(err2, err1) {
			t.Fatalf("whole: %v, %v; in pieces of %d: %v, %v", whole, err1, n, split, err2)
		}
		for i, r := range whole {
			if r != split[i] {
				t.Fatalf("reply %d: %+v in one piece, %+v in many", i, r, split[i])
			}
			if !clean(strings.ReplaceAll(r.Text, "\n", "")) ||
				len(r.Text) > maxReplyLine*maxReplyLines*3 {
				t.Fatalf("text %q", r.Text)
			}
			back, err := feed(AppendReply(nil, r.Code, r.Enhanced, strings.Split(r.Text, "\n")...),
				3)
			if len(r.Text) < maxReplyText && (err != nil || len(back) != 1) {
				t.Fatalf("%+v does not survive: %v, %v", r, back, err)
			}
		}
	})
}

func BenchmarkReplyParser(b *testing.B) {
	in := bytes.Repeat([]byte("250 2.1.5 Ok\r\n"), 4)
	var p ReplyParser
	b.ReportAllocs()
	for b.Loop() {
		for data := in; len(data) > 0; {
			n, _, err := p.Parse(data)
			if err != nil {
				b.Fatal(err)
			}
			data = data[n:]
		}
	}
}
