package sink

import (
	"fmt"
	"os"

	"github.com/postroad/postroad/internal/config"
)

// Config is how a sink behaves. Its file is TOML (docs/bench.md has an example of all of it); the
// zero Config accepts everything.
type Config struct {
	// of the shares; the same seed gives the same answers in the same order
	Seed    int      `toml:"seed"`
	Listen  []Listen `toml:"listen"`  // addresses, one for each MX host
	Rules   []Rule   `toml:"rule"`    // at each step of a session the first that matches decides
	Domains []Domain `toml:"domain"`  // what the name server says of them
	Records []string `toml:"records"` // further records of the name server, as in a zone file
	// PolicyAddress is where the MTA-STS policies of Domains are served over HTTPS (RFC 8461 3.3).
	// Mail servers ask on port 443; default "127.0.0.1:443".
	PolicyAddress string `toml:"policy_address"`
}

// Listen is an address at which the sink takes mail, as one MX host.
type Listen struct {
	Address string `toml:"address"` // host:port; 127.0.0.2 and so on are hosts of their own
	// its name, in the greeting, in DNS and in the certificate; default "sink.example"
	Host        string   `toml:"host"`
	Certificate string   `toml:"certificate" enum:"none,good,expired,wrong-name,self-signed"`
	Without     []string `toml:"without"` // EHLO keywords not to offer
	TLSA        string   `toml:"tlsa" enum:"none,good,mismatch"`
}

// Rule is a behaviour and whom it is for. What is not given matches everybody.
type Rule struct {
	// of the recipient, also "*.example.net"; such a rule decides from RCPT on
	Domains []string        `toml:"domain"`
	Clients config.Networks `toml:"client"` // where the connection comes from
	Hosts   []string        `toml:"host"`   // host or address of the Listen that it came to

	// behave like this provider, where the rule does not say otherwise
	Profile string `toml:"profile" enum:"gmail,yahoo,outlook"`

	// put off a new (client, sender, recipient) for so long
	Greylist      config.Duration `toml:"greylist"`
	GreylistReply string          `toml:"greylist_reply"`
	// messages of one client; what is over it gets the reply, and is disconnected if that is a 421
	Rate      config.Rate `toml:"rate"`
	RateReply string      `toml:"rate_reply"`
	// of one client at a time; 0: any number
	Connections           int    `toml:"connections"`
	ConnectionsReply      string `toml:"connections_reply"`
	MessagesPerConnection int    `toml:"messages_per_connection"` // 0: any number
	MessagesReply         string `toml:"messages_reply"`

	// what happens at the steps; each has its share, and of one step they are 100% at most together
	Do []Do `toml:"do"`
}

// Do is what a rule does at one step.
type Do struct {
	At    string         `toml:"at" enum:"connect,helo,starttls,mail,rcpt,data,end,other,quit"`
	Share config.Percent `toml:"share"` // how often; default "100%"
	// whom it hits: each time anew (default), or always the same recipients
	By    string          `toml:"by" enum:"chance,address"`
	Reply string          `toml:"reply"` // instead of the usual one
	Delay config.Duration `toml:"delay"` // answer so late
	Drip  config.Duration `toml:"drip"`  // time between two octets of the reply
	Close bool            `toml:"close"` // after the reply
	// reset the connection instead of replying
	Cut bool `toml:"cut"`
	// at data: reset it after so many octets of content
	CutIn config.Size `toml:"cut_in"`
}

// Domain is what the name server says of a domain.
type Domain struct {
	Name   string   `toml:"name"`
	MX     []string `toml:"mx"` // hosts, the preferred first; "." alone is a null MX (RFC 7505)
	TXT    []string `toml:"txt"`
	MTASTS string   `toml:"mta_sts" enum:"none,testing,enforce"`
}

// Load reads a configuration file. Its error is a config.Problems unless the file could not be
// read.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration of the sink: %w", err)
	}
	return Parse(path, data)
}

// Check finds what cannot work. Load and Start have called it. Its error is a config.Problems.
func (c *Config) Check() error { return c.check(&config.Places{}) }

// Parse is Load for the content of a file; name is only for its problems.
func Parse(name string, data []byte) (*Config, error) {
	c := &Config{}
	places, err := config.DecodePlaces(name, data, c)
	if err != nil {
		return nil, err
	}
	return c, c.check(places)
}
