package node

import (
	"net/netip"

	"github.com/postroad/postroad/intake"
	"github.com/postroad/postroad/policy"
	"github.com/postroad/postroad/smtpd"
)

// submitter is where the SMTP server hands its mail.
func (n *node) submitter() smtpd.Submitter {
	o := intake.Options{
		Queue: front{n}, Book: n.policy, Log: n.log,
		Recipients: func() int { return n.cfg().Limits.Recipients },
		Sign:       func(next intake.Submitter) intake.Submitter { return n.newSigner(next) },
	}
	if n.telemetry.Tracing() {
		o.Tracer = n.telemetry.Tracer("postroad/smtpd")
	}
	return intake.New(o)
}

// policyEvents writes what the policy has to say into the log.
func (n *node) policyEvents() policy.Events {
	return policy.Events{
		RateExceeded: func(user, what string, client netip.Addr) {
			n.log.Errorf(
				"user %s exceeds the rate of %s (client %s): is the account compromised?",
				user, what, client)
		},
		LoginFailed: func(user string, client netip.Addr) {
			n.log.Logf("log-in failed: user %q, client %s", user, client)
		},
		LoginBlocked: func(user string, client netip.Addr) {
			n.log.Logf("log-in blocked: user %q, client %s", user, client)
		},
		BadHash: func(user string, err error) {
			n.log.Errorf("user %s has a password hash that cannot be used: %v", user, err)
		},
	}
}
