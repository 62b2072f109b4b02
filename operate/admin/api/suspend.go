package api

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postroad/postroad/internal/config"
)

// Suspension is one thing that is suspended.
type Suspension struct {
	Kind   string `json:"kind"` // domain, site, tenant or campaign
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
	Since  Time   `json:"since,omitzero"`
	Until  Time   `json:"until,omitzero"` // absent: until it is resumed
}

// Ends says in words when it ends.
func (s *Suspension) Ends() string {
	if s.Until.IsZero() {
		return "until it is resumed"
	}
	return "until " + s.Until.Local().Format(time.DateTime)
}

// SuspendRequest asks for a suspension, or for its end.
type SuspendRequest struct {
	Kind   string          `json:"kind"`
	Name   string          `json:"name"`
	Reason string          `json:"reason,omitempty"` // not of resume
	For    config.Duration `json:"for,omitempty"`    // not of resume; 0: until it is resumed
}

// Acknowledgement says which queue groups obey.
type Acknowledgement struct {
	Node       string         `json:"node"` // the one that was asked
	Suspension Suspension     `json:"suspension"`
	Groups     []Acknowledged `json:"groups"`
	// Missing are the groups that have not acknowledged it. The change stands: each of them takes
	// it over before its next owner begins an attempt.
	Missing []Missing `json:"missing,omitempty"`
}

// Acknowledged is a queue group that obeys.
type Acknowledged struct {
	Group uint64 `json:"group"`
	Node  string `json:"node"`  // its owner
	Index uint64 `json:"index"` // of the entry of its log after which it obeys
}

// SuspensionKinds are what can be suspended.
var SuspensionKinds = []string{"domain", "site", "tenant", "campaign"}

// Bounds of a suspension, in octets and time.
const (
	maxSuspendName   = 255
	maxSuspendReason = 200
	maxSuspendFor    = 10 * 365 * 24 * time.Hour
)

// Check finds what cannot be meant by "suspend" or "resume", and brings the name into the form in
// which the queues have it.
func (r *SuspendRequest) Check(verb string) error {
	if !slices.Contains(SuspensionKinds, r.Kind) {
		return Fail(ExitUsage, fmt.Sprintf("%.60q is nothing that can be suspended", r.Kind),
			"name one with --domain, --site, --tenant or --campaign")
	}
	if r.Kind == "domain" || r.Kind == "site" {
		r.Name = strings.TrimSuffix(RoutingDomain(r.Name), ".")
	}
	switch {
	case r.Name == "" || len(r.Name) > maxSuspendName || !printable(r.Name):
		return Fail(ExitData, fmt.Sprintf("%.60q is no name of a %s", r.Name, r.Kind),
			fmt.Sprintf("it has 1 to %d octets, without control characters", maxSuspendName))
	case (r.Kind == "domain" || r.Kind == "site") && strings.ContainsAny(r.Name, " @*"):
		return Fail(ExitData, fmt.Sprintf("%.60q is no name of a %s", r.Name, r.Kind),
			"give the part of an address after the @, or a site as the log names it")
	case verb == "suspend" && strings.TrimSpace(r.Reason) == "":
		return Fail(ExitUsage, "a suspension needs a reason", `others will ask: --reason "TEXT"`)
	case len(r.Reason) > maxSuspendReason || !printable(r.Reason):
		return Fail(ExitData, "that is no reason", fmt.Sprintf("it has 1 to %d octets on one line",
			maxSuspendReason))
	case verb == "resume":
		return nil
	case r.For < 0 || time.Duration(r.For) > maxSuspendFor:
		return Fail(ExitData, "the time is out of range",
			"a suspension lasts up to 10 years, or without --for until it is resumed")
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Incomplete is the error that names the groups that have not acknowledged, or nil.
func (a *Acknowledgement) Incomplete() error {
	if len(a.Missing) == 0 {
		return nil
	}
	var names []string
	for _, m := range a.Missing {
		names = append(names, m.String())
	}
	return Fail(ExitTemporary, "not every queue group has acknowledged it: "+strings.Join(names,
		"; "),
		"it is recorded: they take it over as soon as they have an owner, before that begins an "+
			"attempt; `postroad cluster status` shows what is wrong")
}
