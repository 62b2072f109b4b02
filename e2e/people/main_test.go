// Package people is about users, domains, aliases and lists: made by command, imported, and from
// LDAP.
package people

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
