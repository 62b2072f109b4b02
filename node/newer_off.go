//go:build !pretend_newer

package node

import "net/http"

func (*node) newerRoutes(*http.ServeMux) {}
