package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/operate/admin/api"
)

// Users calls fn with each user (the JSON of a User) in order of their names.
func (c *Client) Users(ctx context.Context, fn func(json.RawMessage) error) error {
	return c.listing(ctx, "/v1/users", fn)
}

// userWait bounds a change of a user: it waits for the replicated log, never long.
const userWait = 30 * time.Second

// ChangeUser runs "add", "passwd", "set" or "remove".
func (c *Client) ChangeUser(ctx context.Context, verb string, u api.UserRequest) error {
	return c.change(ctx, "/v1/users", verb, u)
}

// ChangeDomain runs "add", "set" or "remove".
func (c *Client) ChangeDomain(ctx context.Context, verb string, d api.DomainRequest) error {
	return c.change(ctx, "/v1/domains", verb, d)
}

// ChangeAlias runs "add", "set" or "remove".
func (c *Client) ChangeAlias(ctx context.Context, verb string, a api.AliasRequest) error {
	return c.change(ctx, "/v1/aliases", verb, a)
}

// StageUsers puts users aside.
func (c *Client) StageUsers(
	ctx context.Context, request api.StageRequest,
) (a api.StageAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, userWait)
	defer cancel()
	err = c.Call(ctx, "POST", "/v1/users/stage", request, &a)
	return a, err
}

// PublishStage makes the users of a stage visible. kept counts those whose names are in use.
func (c *Client) PublishStage(
	ctx context.Context, stage string, progress func(int64),
) (published, kept int64, err error) {
	t, err := c.Stream(ctx, "POST", "/v1/users/publish", api.StageRequest{Stage: stage}, nil,
		progress)
	if err != nil {
		return 0, 0, err
	}
	return t.Recipients, t.States["kept"], nil
}

// DiscardStage drops the users of a stage.
func (c *Client) DiscardStage(
	ctx context.Context, stage string, progress func(int64),
) (dropped int64, err error) {
	t, err := c.Stream(ctx, "POST", "/v1/users/discard", api.StageRequest{Stage: stage}, nil,
		progress)
	if err != nil {
		return 0, err
	}
	return t.Recipients, nil
}

// Stages calls fn with each stage, the JSON of a Stage.
func (c *Client) Stages(ctx context.Context, fn func(json.RawMessage) error) error {
	return c.listing(ctx, "/v1/users/stages", fn)
}

// ExportUsers calls fn with each user, the JSON of an ExportedUser.
func (c *Client) ExportUsers(ctx context.Context, fn func(json.RawMessage) error) error {
	return c.listing(ctx, "/v1/users/export", fn)
}

// SyncUsers makes the directory follow the outside list of users.
func (c *Client) SyncUsers(
	ctx context.Context, request api.SyncRequest,
) (a api.SyncAnswer, err error) {
	err = c.Call(ctx, "POST", "/v1/users/sync", request, &a)
	return a, err
}

// Domains calls fn with each domain of the directory, the JSON of a Domain, in order of their
// names.
func (c *Client) Domains(ctx context.Context, fn func(json.RawMessage) error) error {
	return c.listing(ctx, "/v1/domains", fn)
}

// AllDomains does the same with those of the configuration, too.
func (c *Client) AllDomains(ctx context.Context, fn func(json.RawMessage) error) error {
	return c.listing(ctx, "/v1/domains?configured", fn)
}

// User returns a user, the JSON of a User.
func (c *Client) User(ctx context.Context, name string) (u json.RawMessage, err error) {
	err = c.Call(ctx, "GET", "/v1/users/show?"+url.Values{"name": {name}}.Encode(), nil, &u)
	return u, err
}

// Alias returns an alias, the JSON of an Alias.
func (c *Client) Alias(ctx context.Context, name string) (a json.RawMessage, err error) {
	err = c.Call(ctx, "GET", "/v1/aliases/show?"+url.Values{"name": {name}}.Encode(), nil, &a)
	return a, err
}

// Aliases calls fn with each alias, the JSON of an Alias, in order of their names.
func (c *Client) Aliases(ctx context.Context, fn func(json.RawMessage) error) error {
	return c.listing(ctx, "/v1/aliases", fn)
}

// listing calls fn with each item of a stream that has nothing else to tell.
func (c *Client) listing(ctx context.Context, path string, fn func(json.RawMessage) error) error {
	total, err := c.Stream(ctx, "GET", path, nil, fn, nil)
	return cmp.Or(err, total.Incomplete())
}

// maxNotLocal is how many domains are warned of.
const maxNotLocal = 10

// NotLocal returns a warning for each domain of some addresses whose mail does not come here: it is
// neither in the directory nor in the configuration of the node that is asked. None: the mail comes
// here, or that cannot be told.
func (c *Client) NotLocal(ctx context.Context, addresses ...string) (warnings []string) {
	of := map[string][]string{}
	for _, address := range addresses {
		at := strings.LastIndexByte(address, '@')
		if domain, err := smtp.Domain(address[at+1:]); at >= 0 && err == nil {
			of[domain] = append(of[domain], address)
		}
	}
	if err := c.AllDomains(ctx, func(raw json.RawMessage) error {
		var d api.Domain
		err := json.Unmarshal(raw, &d)
		delete(of, d.Name)
		return err
	}); err != nil {
		return nil
	}
	for i, domain := range slices.Sorted(maps.Keys(of)) {
		if i == maxNotLocal {
			return append(warnings, fmt.Sprintf("warning: %d more domains of the users are not of "+
				"this cluster either", len(of)-i))
		}
		who := of[domain][0]
		if more := len(of[domain]) - 1; more > 0 {
			who += fmt.Sprintf(" and %d more", more)
		}
		warnings = append(warnings, "warning: "+domain+" is no domain of this cluster, so mail "+
			"for "+who+" does not come here: `postroad domain add "+domain+"` makes it one")
	}
	return warnings
}

func (c *Client) change(ctx context.Context, path, verb string, request any) error {
	ctx, cancel := context.WithTimeout(ctx, userWait)
	defer cancel()
	if verb != "add" {
		path += "/" + verb
	}
	return c.Call(ctx, "POST", path, request, &struct{}{})
}

// SigningKeys calls fn with each key of DKIM, the JSON of a SigningKey, in order of their domains.
func (c *Client) SigningKeys(ctx context.Context, fn func(json.RawMessage) error) error {
	return c.listing(ctx, "/v1/dkim", fn)
}

// ShowKeys returns the keys of a domain, or the one of a selector, with their records.
func (c *Client) ShowKeys(ctx context.Context, domain, selector string) (
	keys api.SigningKeys, err error,
) {
	err = c.Call(ctx, "GET", "/v1/dkim/show?"+url.Values{"domain": {domain},
		"selector": {selector}}.Encode(), nil, &keys)
	return keys, err
}

// ChangeKeys runs "generate", "check", "rotate" or "retire", and returns the keys that it was
// about.
func (c *Client) ChangeKeys(ctx context.Context, verb string, r api.DKIMRequest) (
	keys api.SigningKeys, err error,
) {
	path := "/v1/dkim"
	if verb != "generate" {
		path += "/" + verb
	}
	err = c.Call(ctx, "POST", path, r, &keys)
	return keys, err
}
