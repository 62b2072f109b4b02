// Package eventloop runs connections on a few event loops (gnet) and gives them what gnet lacks: an
// accept path that survives a lack of descriptors, limits on what is buffered either way,
// deadlines, TLS, recovery from panics, and an orderly end. It knows no protocol. SMTP and POP3
// servers, the benchmark's sink and its load generator are Handlers. Connections are accepted
// (Serve) or dialled (Dial).
//
// # Threads
//
// Each connection belongs to one loop for its whole life. All Handler callbacks of a connection,
// and all methods of its Conn except Post, run on that loop, one at a time. Whatever blocks there
// (a disk, a lock held across I/O, DNS, a password hash) stops every connection of the loop: do it
// elsewhere and come back with Post.
//
// # The life of a connection
//
//	New, Open, (Data | Timeout | Drained | StartTLS, TLSDone)*, Closed
//
// With implicit TLS the handshake comes first: New, TLSDone(nil), Open, and so on; or New,
// TLSDone(err), Closed(err) when it fails. Closed is the last callback and comes exactly once, when
// the socket is gone; functions given to Post may still run after it.
package eventloop
