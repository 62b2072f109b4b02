// Package pop3 serves mailboxes over POP3: RFC 1939 with CAPA and response codes (RFC 2449, RFC
// 3206), SASL (RFC 5034), STLS (RFC 2595) and UTF8 (RFC 6856). A session is a pure state machine in
// a thin shell on internal/eventloop; what may block (the lock, a listing, a content) is done by a
// bounded number of workers. See DESIGN.md.
package pop3
