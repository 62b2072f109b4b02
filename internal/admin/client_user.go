package admin

import (
	"context"
	"encoding/json"
	"time"
)

// Users calls fn with each user (the JSON of a User) in order of their names.
func (c *Client) Users(ctx context.Context, fn func(json.RawMessage) error) error {
	_, err := c.stream(ctx, "GET", "/v1/users", nil, fn, nil)
	return err
}

// userWait bounds a change of a user: it waits for the replicated log, never long.
const userWait = 30 * time.Second

// ChangeUser runs "add", "passwd" or "remove".
func (c *Client) ChangeUser(ctx context.Context, verb string, u UserRequest) error {
	ctx, cancel := context.WithTimeout(ctx, userWait)
	defer cancel()
	path := "/v1/users"
	if verb != "add" {
		path += "/" + verb
	}
	return c.call(ctx, "POST", path, u, &struct{}{})
}
