package mail

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DNS is a name server on UDP and TCP. It answers from a zone in memory, and badly where told to.
// Its methods may be called on any goroutine.
type DNS struct {
	addr     string
	udp, tcp *dns.Server
	served   sync.WaitGroup

	mu struct {
		sync.Mutex
		zone   zone
		faults map[question]*Fault
		asked  map[question]int
	}
}

// question is a lower-case name with a final dot, and a type.
type question struct {
	name  string
	qtype uint16
}

// Response codes for Fault (RFC 1035 4.1.1).
const (
	ServFail = dns.RcodeServerFailure
	NXDomain = dns.RcodeNameError
	NotImpl  = dns.RcodeNotImplemented
	Refused  = dns.RcodeRefused
)

// Fault is what goes wrong with the answers to one question.
type Fault struct {
	Rcode         int           // answer with this response code
	Delay         time.Duration // answer late
	Drop          bool          // do not answer
	Truncate      bool          // over UDP, answer without records and with TC set (RFC 1035 4.2.1)
	WrongID       bool          // answer with another ID
	WrongQuestion bool          // answer another question
	WrongType     bool          // answer for another type
	Times         int           // misbehave so often, then well; 0: always
}

// StartDNS starts a name server with an empty zone. addr may have port 0.
func StartDNS(addr string) (*DNS, error) {
	l, pc, err := listenBoth(addr)
	if err != nil {
		return nil, fmt.Errorf("starting the name server: %w", err)
	}
	d := &DNS{addr: l.Addr().String()}
	d.mu.zone = zone{}
	d.mu.faults = map[question]*Fault{}
	d.mu.asked = map[question]int{}
	d.tcp = &dns.Server{Listener: l, Handler: dns.HandlerFunc(d.serve)}
	d.udp = &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(d.serve)}
	for _, s := range []*dns.Server{d.tcp, d.udp} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		d.served.Go(func() { _ = s.ActivateAndServe() }) // ends with Close
		<-ready
	}
	return d, nil
}

// listenBoth finds a port that is free for UDP and TCP.
func listenBoth(addr string) (net.Listener, net.PacketConn, error) {
	for try := 0; ; try++ {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, pc, nil
		}
		l.Close()
		if try == 10 {
			return nil, nil, err
		}
	}
}

// Addr returns the server's address, host:port.
func (d *DNS) Addr() string { return d.addr }

// Close stops the server.
func (d *DNS) Close() error {
	uerr, terr := d.udp.Shutdown(), d.tcp.Shutdown()
	d.served.Wait()
	if uerr != nil {
		return uerr
	}
	return terr
}

// Add puts records into the zone, each a line of a zone file such as "example.net. 60 IN MX 10
// mx.example.net." The owner "*.example.net." stands for every name below that has no record of its
// own (RFC 4592, without its finer points).
func (d *DNS) Add(records ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			return fmt.Errorf("record %q: %w", text, err)
		}
		d.mu.zone.add(rr)
	}
	return nil
}

// AddMX gives domain one mail exchanger, and that host its addresses.
func (d *DNS) AddMX(domain, host string, addrs ...string) error {
	records := []string{fmt.Sprintf("%s 60 IN MX 10 %s", dns.Fqdn(domain), dns.Fqdn(host))}
	for _, a := range addrs {
		kind := "A"
		if strings.Contains(a, ":") {
			kind = "AAAA"
		}
		records = append(records, fmt.Sprintf("%s 60 IN %s %s", dns.Fqdn(host), kind, a))
	}
	return d.Add(records...)
}

// Remove takes all records of a name away.
func (d *DNS) Remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mu.zone, dns.CanonicalName(name))
}

// Misbehave sets the fault of a question, such as "example.net", "MX"; the zero Fault ends it.
func (d *DNS) Misbehave(name, qtype string, f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := question{dns.CanonicalName(name), dns.StringToType[qtype]}
	if f == (Fault{}) {
		delete(d.mu.faults, q)
		return
	}
	d.mu.faults[q] = &f
}

// Asked returns how often a question was asked.
func (d *DNS) Asked(name, qtype string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.asked[question{dns.CanonicalName(name), dns.StringToType[qtype]}]
}

// serve answers one question.
func (d *DNS) serve(w dns.ResponseWriter, r *dns.Msg) {
	if len(r.Question) != 1 {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(r, dns.RcodeFormatError))
		return
	}
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	m, f := d.answer(r, udp)
	if f.Drop {
		return
	}
	if f.Delay > 0 {
		time.Sleep(f.Delay) // the server has a goroutine for each question
	}
	_ = w.WriteMsg(m) // the client may have gone
}

// answer makes the answer, well or badly.
func (d *DNS) answer(r *dns.Msg, udp bool) (*dns.Msg, Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := question{dns.CanonicalName(r.Question[0].Name), r.Question[0].Qtype}
	d.mu.asked[q]++
	m := new(dns.Msg).SetReply(r)
	m.Authoritative, m.RecursionAvailable = true, true
	size := dns.MinMsgSize
	if opt := r.IsEdns0(); opt != nil {
		m.SetEdns0(dns.DefaultMsgSize, false)
		size = int(opt.UDPSize())
	}
	d.mu.zone.answer(m, q)
	f := d.fault(q)
	f.apply(m, udp)
	if udp {
		m.Truncate(size)
	}
	return m, f
}

// fault returns, and counts, the fault of a question.
func (d *DNS) fault(q question) Fault {
	f := d.mu.faults[q]
	if f == nil {
		return Fault{}
	}
	now := *f
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			delete(d.mu.faults, q)
		}
	}
	return now
}

func (f Fault) apply(m *dns.Msg, udp bool) {
	switch {
	case f.Rcode != 0:
		m.Answer, m.Ns, m.Rcode = nil, nil, f.Rcode
	case f.Truncate && udp:
		m.Answer, m.Truncated = nil, true
	}
	if f.WrongID {
		m.Id++
	}
	if f.WrongQuestion {
		m.Question[0].Name = "other." + m.Question[0].Name
	}
	if f.WrongType {
		m.Question[0].Qtype++
	}
}
