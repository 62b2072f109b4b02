package main

import (
	"cmp"
	"context"

	"github.com/postroad/postroad/directory/roster"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
)

func runUserExport(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	hashes := fs.Bool("hashes", false,
		"with what passwords are checked with: keep the file as you would keep those")
	return export(c, fs, args, roster.UserWriter,
		func(client *client.Client, write func(*roster.User) error) error {
			return client.ExportUsers(ctx,
				cli.Each(func(u *api.ExportedUser) error {
					return write(admin.ExportedUser(u, *hashes))
				}))
		})
}

func runAliasExport(ctx context.Context, c *cli.Console, args []string) error {
	return export(c, c.Flags(), args, roster.AliasWriter,
		func(client *client.Client, write func(*roster.Alias) error) error {
			return client.Aliases(ctx, cli.Each(func(a *api.Alias) error {
				return write(&roster.Alias{Address: a.Name, Owner: a.Owner, Targets: a.Targets})
			}))
		})
}

func runAliasImport(ctx context.Context, c *cli.Console, args []string) error {
	return importRows(c, args, "aliases", roster.Aliases,
		func(client *client.Client, row *roster.Alias, replace bool) error {
			return importOne(replace, func(verb string) error {
				return client.ChangeAlias(ctx, verb,
					api.AliasRequest{Name: row.Address, Owner: &row.Owner, Targets: row.Targets})
			})
		})
}

func runDomainExport(ctx context.Context, c *cli.Console, args []string) error {
	return export(c, c.Flags(), args, roster.DomainWriter,
		func(client *client.Client, write func(*roster.Domain) error) error {
			return client.Domains(ctx, cli.Each(func(d *api.Domain) error {
				return write(&roster.Domain{Name: d.Name,
					Separator: cmp.Or(d.Separator, roster.NoSeparator)})
			}))
		})
}

func runDomainImport(ctx context.Context, c *cli.Console, args []string) error {
	return importRows(c, args, "domains", roster.Domains,
		func(client *client.Client, row *roster.Domain, replace bool) error {
			return importOne(replace, func(verb string) error {
				request := api.DomainRequest{Name: row.Name}
				switch row.Separator {
				case "": // the default, or what it is
				case roster.NoSeparator:
					request.Separator = new(string)
				default:
					request.Separator = &row.Separator
				}
				return client.ChangeDomain(ctx, verb, request)
			})
		})
}
