// Package sink is the receiving end of a load test: an SMTP server that behaves as it is told for
// each domain, client and address, with a name server that leads mail to it, and a record of each
// message that it took. `postroad bench sink` runs it; the bench's scenarios and tests start it in
// their own process.
//
// The SMTP itself is internal/testkit/mail's, on the event loop of internal/eventloop; it shares no
// parser with the server under test. What is here is the programming: which rule decides at a step,
// and what it remembers.
package sink
