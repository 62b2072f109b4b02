// Package load is a load generator for SMTP servers: many connections on few event loops, messages
// made from blocks prepared beforehand, one write and one read per round trip, and no allocation
// per message.
//
//	l, err := load.Start(load.Options{Addr: "127.0.0.1:2525", Connections: 20, Messages: 100_000})
//	...                      // l.Progress() while it runs, l.SetRate, l.Stop
//	result, err := l.Wait(ctx) // ends the load when ctx ends
//
// # Closed and open loop
//
// Without a rate each connection sends its next message as soon as it has the reply to the last: a
// closed loop, which slows down with the server and measures throughput. With a rate, message i is
// due at start + i/rate whatever the server does: an open loop. Its latencies count from when the
// message was due, not from when a connection was free for it; else the wait that a slow server
// causes would be left out ("coordinated omission").
//
// # Pipelining
//
//	PipelineOff      each command waits for its reply: MAIL, RCPT, DATA, content: 4 round trips a message of one recipient
//	PipelineMessage  MAIL, RCPT and DATA in one write (RFC 2920), the content when the 354 is there: 2 round trips
//	PipelineStream   the next message's MAIL, RCPT and DATA in the write of this one's content: 1 round trip
//
// RFC 2920 3.1 wants DATA at the end of a group and the 354 awaited; the end of the data may have
// commands behind it, so PipelineStream is in order with every server that offers PIPELINING. With
// BDAT (RFC 3030) nothing is awaited before the content: PipelineMessage is one round trip a
// message, and PipelineStream keeps up to Options.Window messages under way on a connection. A
// server that does not offer PIPELINING or CHUNKING gets the load without, and Result says so.
//
// # What becomes of a message
//
// Accepted: a 2xx reply to its data, whose queue ID is read where the reply says "queued as".
// Refused: a 4xx or 5xx reply to MAIL, to each RCPT, to DATA or to the data. Lost: the connection
// ended before the end of the data was sent, so that nobody has it. Unknown: it ended after that
// and before the reply; the server may have it. A refusal by 4xx and a loss are tried again
// Options.Retries times; Unknown never is, since that could make a duplicate of our own.
package load
