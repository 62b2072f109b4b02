package node

import (
	"github.com/postroad/postroad/internal/config"
)

// planPolicy is who may send what, and how full the disk may be.
func (n *node) planPolicy(next *config.Config, p *plan) error {
	configure, err := n.policy.Prepare(rulesOf(next))
	if err != nil {
		return err
	}
	p.then(configure)
	p.then(func() { n.pressure.free.Store(new(float64(next.Limits.FreeDisk))) })
	return nil
}

// planServers is what those who connect are offered: certificates and limits.
func (n *node) planServers(next *config.Config, p *plan) error {
	show, err := n.cert.Prepare(certsOf(next))
	if err != nil {
		return err
	}
	p.then(show)
	p.then(func() {
		n.smtp.Configure(smtpOf(next))
		n.pop3.Configure(pop3LimitsOf(next))
	})
	return nil
}

// planOperators is what operators and their programs see: log, event log, traces, administration.
func (n *node) planOperators(next *config.Config, p *plan) error {
	log, err := n.log.Prepare(logOf(next))
	if err != nil {
		return err
	}
	settings, err := adminOf(next)
	if err != nil {
		return err
	}
	group, err := next.SocketGroup()
	if err != nil {
		return err
	}
	desk := n.admin.Load()
	back, err := desk.Admit(group)
	if err != nil {
		return err
	}
	p.orElse(back)
	move, stay, err := desk.Move(next.Admin.Address)
	if err != nil {
		return err
	}
	p.orElse(stay)
	p.then(log)
	p.then(move)
	p.then(func() {
		desk.Configure(settings)
		n.telemetry.Configure(sampleOf(next))
	})
	return nil
}

// planOutside is the outside list of users. It is made anew at each reload, because what its files
// say may have changed, and looked at when the section has.
func (n *node) planOutside(next *config.Config, p *plan) error {
	list, err := outsideOf(next.LDAP)
	if err != nil {
		return err
	}
	changed := n.cfg().LDAP != next.LDAP
	p.then(func() {
		n.outside.Store(list)
		if !changed {
			return
		}
		select {
		case n.relook <- struct{}{}:
		default:
		}
	})
	return nil
}
