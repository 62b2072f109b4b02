package smtp

import (
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	tests := []struct {
		line string
		verb Verb
		args string
	}{
		{"EHLO mx.example", Ehlo, "mx.example"},
		{"helo  mx.example ", Helo, "mx.example"},
		{"MAIL FROM:<>", Mail, "FROM:<>"},
		{"rcpt to:<a@b.example> NOTIFY=NEVER", Rcpt, "to:<a@b.example> NOTIFY=NEVER"},
		{"DATA", Data, ""},
		{"BDAT 10 LAST", Bdat, "10 LAST"},
		{"StartTLS", StartTLS, ""},
		{"AUTH PLAIN =", Auth, "PLAIN ="},
		{"RSET", Rset, ""}, {"NOOP \"", Noop, "\""}, {"VRFY x", Vrfy, "x"}, {"EXPN x", Expn, "x"},
		{"HELP", Help, ""}, {"QUIT", Quit, ""}, {"LHLO x", Lhlo, "x"},
		{"", Unknown, ""}, {" EHLO x", Unknown, "EHLO x"}, {"MAILX", Unknown, ""},
		{"MAI", Unknown, ""}, {"STARTTLZ", Unknown, ""},
		{"EHLO gr\xfcn", Ehlo, "gr\xfcn"}, {"EHLO \x01\xfc", Malformed, ""},
		{"RSET\rQUIT", Malformed, ""},
		{"NOOP \x01\x02", Malformed, ""},
		{"NOOP\x00", Malformed, ""},
		{"NOOP\tx", Malformed, ""},
		{"FROP \xF1\x80", Malformed, ""},
		{"NOOP \xc2\x85", Malformed, ""}, // U+0085, next line
		{"POST / HTTP/1.1", Foreign, "/ HTTP/1.1"},
		{"get / HTTP/1.0", Foreign, "/ HTTP/1.0"},
		{"SSH-2.0-OpenSSH", Foreign, ""},
		{"\x16\x03\x01\x02\x00\x01", Foreign, ""},
	}
	for _, tt := range tests {
		verb, args := ParseCommand([]byte(tt.line))
		if verb != tt.verb || string(args) != tt.args {
			t.Errorf("ParseCommand(%q) = %v, %q; want %v, %q", tt.line, verb, args, tt.verb,
				tt.args)
		}
	}
}

func TestParseHelo(t *testing.T) {
	for _, good := range []string{"mx.example", "my_pc", "[192.0.2.1]", "[IPv6:2001:db8::1]",
		"localhost."} {
		if got, f := ParseHelo([]byte(good)); f != nil || got != good {
			t.Errorf("ParseHelo(%q) = %q, %v", good, got, f)
		}
	}
	for odd, want := range map[string]string{"": "", "a b": "a?b", "(null)": "?null?",
		"joe's-mac": "joe?s-mac", "gr\xfcn": "gr?n", "[IPv6:fe80::1%eth0]": "[IPv6:fe80::1?eth0]",
		"<a@b;c>": "?a?b?c?"} {
		if got, f := ParseHelo([]byte(odd)); f != nil || got != want {
			t.Errorf("ParseHelo(%q) = %q, %v; want %q", odd, got, f, want)
		}
	}
	if got, f := ParseHelo([]byte(strings.Repeat("A", 11000))); f == nil || f.Code != SyntaxError {
		t.Errorf("a very long name: %.20q, %v; want 501", got, f)
	}
}

func TestParseBdat(t *testing.T) {
	tests := []struct {
		args string
		size int64
		last bool
		ok   bool
	}{
		{"10", 10, false, true},
		{"0 LAST", 0, true, true},
		{"86 last", 86, true, true},
		{"9223372036854775807", 1<<63 - 1, false, true},
		{"9223372036854775808", 0, false, false},
		{"99999999999999999999", 0, false, false},
		{"", 0, false, false}, {"-1", 0, false, false}, {"+1", 0, false, false},
		{"1 FIRST", 0, false, false}, {"1 ", 0, false, false},
		{"1 LAST LAST", 0, false, false}, {"0x10", 0, false, false}, {"LAST", 0, false, false},
		{"000000000000000000001", 0, false, false},
	}
	for _, tt := range tests {
		size, last, f := ParseBdat([]byte(tt.args))
		if (f == nil) != tt.ok || size != tt.size || last != tt.last {
			t.Errorf("ParseBdat(%q) = %d, %v, %v; want %d, %v, ok=%v", tt.args, size, last, f,
				tt.size, tt.last, tt.ok)
		}
		if f != nil && f.Code != SyntaxError {
			t.Errorf("ParseBdat(%q): code %d, want 501", tt.args, f.Code)
		}
	}
}

func TestParseAuth(t *testing.T) {
	if m, initial, f := ParseAuth([]byte("plain =")); m != "PLAIN" || initial == nil ||
		len(initial) != 0 || f != nil {
		t.Errorf("AUTH plain = gave %q, %q, %v", m, initial, f)
	}
	if m, initial, f := ParseAuth([]byte("LOGIN")); m != "LOGIN" || initial != nil || f != nil {
		t.Errorf("AUTH LOGIN gave %q, %q, %v", m, initial, f)
	}
	if _, initial, f := ParseAuth([]byte("PLAIN AGEAYg==")); string(initial) != "AGEAYg==" ||
		f != nil {
		t.Errorf("AUTH PLAIN AGEAYg== gave %q, %v", initial, f)
	}
	for _, bad := range []string{"", "PLAIN a b", strings.Repeat("X", 21)} {
		if _, _, f := ParseAuth([]byte(bad)); f == nil {
			t.Errorf("AUTH %q was accepted", bad)
		}
	}
}

func TestProtocol(t *testing.T) {
	for want, got := range map[string]string{
		"SMTP": Protocol(false, true, false, false), "ESMTP": Protocol(true, false, false, false),
		"ESMTPS": Protocol(true, true, false, false),
		"ESMTPA": Protocol(true, false, true, false), "ESMTPSA": Protocol(true, true, true, false),
		"UTF8SMTP": Protocol(true, false, false, true), "UTF8SMTPSA": Protocol(true, true, true,
			true),
	} {
		if got != want {
			t.Errorf("Protocol = %q, want %q", got, want)
		}
	}
}
