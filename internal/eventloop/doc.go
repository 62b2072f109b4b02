// Package eventloop runs connections on a few event loops (gnet) and gives them what gnet lacks: an accept path that survives
// a lack of descriptors, limits on what is buffered either way, deadlines, TLS, recovery from panics, and an orderly end. It knows no
// protocol. SMTP and POP3 servers and the benchmark's sink are Handlers.
package eventloop
