package kit

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// DirectClusterOf is one of another program, unless that is "", and with further keys in the table
// [cluster].
func DirectClusterOf(t *testing.T, program string, nodes int, extra, keys string) (all []*Node) {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a token for measurements only\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var addrs, quoted []string
	for range nodes {
		a := FreeAddr(t)
		addrs, quoted = append(addrs, a), append(quoted, strconv.Quote(a))
	}
	replicas := 3
	if nodes == 5 {
		replicas = 5
	}
	for i, a := range addrs {
		all = append(all,
			NewNode(t, NodeOptions{Name: fmt.Sprintf("n%d", i+1), Extra: extra + fmt.Sprintf(
				"[cluster]\nlisten = %q\njoin = [%s]\ntoken_file = %q\nreplicas = %d\n%s", a,
				strings.Join(quoted, ", "), token, replicas, keys)}))
		all[i].Program = cmp.Or(program, all[i].Program)
	}
	var starting sync.WaitGroup
	for _, n := range all {
		starting.Go(n.Start)
	}
	starting.Wait()
	return all
}
