package report

// titles are what systems are called in all that people read; in scenarios, JSON and on the command
// line they have their short names.
var titles = map[string]string{
	"node": "Postroad", "cluster-3": "Postroad, 3 nodes", "cluster-5": "Postroad, 5 nodes",
	"postfix": "Postfix", "postfix-tuned": "Postfix, tuned", "exim": "Exim",
	"opensmtpd": "OpenSMTPD",
}

// Title returns what a system is called.
func Title(system string) string {
	if t, ok := titles[system]; ok {
		return t
	}
	return system
}
