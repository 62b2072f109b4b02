package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	argonHash  = "{ARGON2ID}$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg"
	bcryptHash = "{CRYPT}$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW" // "secret"
	scramHash  = "{SCRAM-SHA-256}4096,VZL7UYWQk9BBw2RGqu87Qw==,2KmAh2/sxH24RBo/Ny4bZX0hawgEvhdmdhFwdM4fG8g=,msU+FjX8dXrEBqxSHsTBAMl64iEolXMsltRdWsWdipQ="
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustRun(t *testing.T, args ...string) (out, errs string) {
	t.Helper()
	status, out, errs := postroad(t, "", args...)
	if status != 0 {
		t.Fatalf("postroad %v: %d, %s", args, status, errs)
	}
	return out, errs
}

func TestUserImport(t *testing.T) {
	startCLINode(t)
	good := write(t, "users.csv", "address,hash,password,hard_quota,forward\n"+
		"a@example.net,\""+argonHash+"\",,1GiB,\nB@example.net,"+bcryptHash+
		",,,x@example.org y@example.org\nc@example.net,\""+scramHash+
		"\",,,\nd@example.net,,clear,,\n")
	// A wrong row anywhere, and nothing is added.
	bad := write(t, "bad.csv", "address,hash\na@example.net,"+bcryptHash+"\nnobody,"+bcryptHash+
		"\nb@example.net,{MD5}x\nA@Example.net,\n")
	status, _, errs := postroad(t, "", "user", "import", bad)
	for _, want := range []string{bad + `:3:1: "nobody"`, bad + ":4:15: {MD5}",
		bad + ":5:1: a@example.net is on line 2 already", "nothing was added"} {
		if status != 65 || !strings.Contains(errs, want) {
			t.Errorf("a bad file: %d, %s; want %s", status, errs, want)
		}
	}
	if out, _ := mustRun(t, "user", "list"); out != "" {
		t.Fatalf("after it there are users: %s", out)
	}
	// Staged, then visible.
	if _, errs := mustRun(t, "user", "import", good, "--stage", "move"); !strings.Contains(errs,
		"4 users staged") {
		t.Errorf("staged: %s", errs)
	}
	if out, _ := mustRun(t, "user", "list"); out != "" {
		t.Errorf("staged users are listed: %s", out)
	}
	if out, _ := mustRun(t, "user", "import", "--stages"); out != `{"name":"move","users":4}`+"\n" {
		t.Errorf("stages: %s", out)
	}
	if _, errs := mustRun(t, "user", "import", "--publish", "move"); errs != "4 users visible\n" {
		t.Errorf("published: %s", errs)
	}
	want := "a@example.net  quota 1GiB\nb@example.net  forwards to x@example.org " +
		"y@example.org\nc@example.net  SCRAM\nd@example.net\n"
	if out, _ := mustRun(t, "user", "list"); out != want {
		t.Errorf("users\n%s", out)
	}
	// Again: each row is refused, by its line; replaced if that is asked for.
	if status, _, errs := postroad(t, "", "user", "import", good); status != 65 ||
		!strings.Contains(errs, good+":3:1: B@example.net: there is a user") {
		t.Errorf("again: %d, %s", status, errs)
	}
	if _, errs := mustRun(t, "user", "import", good, "--replace"); !strings.Contains(errs,
		"4 users visible") {
		t.Errorf("replaced: %s", errs)
	}
	if out, _ := mustRun(t, "user", "import", "--stages"); out != "" {
		t.Errorf("left over: %s", out)
	}
	// Out, and in again.
	for _, name := range []string{"out.csv", "out.json"} {
		path := filepath.Join(t.TempDir(), name)
		mustRun(t, "user", "export", path, "--hashes")
		content, _ := os.ReadFile(path)
		if !strings.Contains(string(content), scramHash) ||
			!strings.Contains(string(content), bcryptHash) {
			t.Errorf("%s: %s", name, content)
		}
		mustRun(t, "user", "import", path, "--replace")
		if out, _ := mustRun(t, "user", "list"); out != want {
			t.Errorf("after %s\n%s", name, out)
		}
	}
	if out, _ := mustRun(t, "user", "export"); strings.Contains(out, "argon2") ||
		!strings.Contains(out, "a@example.net,,,,") {
		t.Errorf("exported without hashes: %s", out)
	}
	for args, want := range map[string]int{"user import": 64, "user import x --publish y": 64,
		"user import --stage x": 64, "user import /none.csv": 65,
		"user sync": 65, "user sync now": 64, "user import --publish none": 65,
		"user import --discard none": 65, "user export " + good: 65} {
		if status, _, errs := postroad(t, "", strings.Fields(args)...); status != want {
			t.Errorf("postroad %s: %d, %s", args, status, errs)
		}
	}
}

func TestPublishKeepsWhoIsThere(t *testing.T) {
	startCLINode(t)
	file := write(t, "users.json", `[{"address":"a@example.net","hash":"`+bcryptHash+
		`"},{"address":"b@example.net","hash":"`+bcryptHash+`"}]`)
	_, errs := mustRun(t, "user", "import", file, "--stage", "s")
	if strings.Contains(errs, "warning") {
		t.Error(errs)
	}
	away := write(t, "away.json", `[{"address":"y@away.example","hash":"`+bcryptHash+
		`"},{"address":"z@away.example","hash":"`+bcryptHash+`"}]`)
	if _, errs := mustRun(t, "user", "import", away); strings.Count(errs, "warning") != 1 ||
		!strings.Contains(errs, "away.example is no domain of this cluster, so mail for "+
			"y@away.example and 1 more does not come here: `postroad domain add away.example`") {
		t.Error(errs)
	}
	if status, _, errs := postroad(t, "pw\n", "user", "add", "b@example.net", "--password-stdin",
		"--tenant", "mine"); status != 0 || strings.Contains(errs, "warning") {
		t.Fatal(errs)
	}
	if status, _, errs := postroad(t, "pw\n", "user", "add", "x@away.example",
		"--password-stdin"); status != 0 || !strings.Contains(errs, "warning: away.example is no "+
		"domain of this cluster") || !strings.Contains(errs, "`postroad domain add away.example`") {
		t.Errorf("%d, %s", status, errs)
	}
	if status, _, errs := postroad(t, "", "user", "import", "--publish", "s"); status != 65 ||
		!strings.Contains(errs, "1 user visible\n") || !strings.Contains(errs, "1 user stay") {
		t.Errorf("%d, %s", status, errs)
	}
	mustRun(t, "user", "import", "--discard", "s")
	if out, _ := mustRun(t, "user", "list"); !strings.Contains(out, "b@example.net  tenant mine") {
		t.Errorf("%s", out)
	}
}

func TestAliasImport(t *testing.T) {
	startCLINode(t)
	mustRun(t, "domain", "add", "example.net")
	file := write(t, "aliases.csv",
		"address,targets,owner\nsales@example.net,a@example.net "+
			"b@example.org,\nnews@example.net,a@example.net,boss@example.net\nx@example.org,a@example.net,\n")
	if status, _, errs := postroad(t, "", "alias", "import", file); status != 65 ||
		!strings.Contains(errs, "2 aliases added") ||
		!strings.Contains(errs, file+":4:1: example.org is not a domain") {
		t.Errorf("%d, %s", status, errs)
	}
	path := filepath.Join(t.TempDir(), "out.json")
	mustRun(t, "alias", "export", path)
	if status, _, errs := postroad(t, "", "alias", "import", path); status != 65 ||
		!strings.Contains(errs, "an alias of that name") {
		t.Errorf("%d, %s", status, errs)
	}
	mustRun(t, "alias", "import", path, "--replace")
	if out, _ := mustRun(t, "alias",
		"list"); out != "news@example.net  to a@example.net  owner "+
		"boss@example.net\nsales@example.net  to a@example.net b@example.org\n" {
		t.Errorf("%s", out)
	}
}

// importFile is a file of n users with the three kinds of hashes.
func importFile(t testing.TB, n int) string {
	var b strings.Builder
	b.WriteString("address,hash,hard_quota,tenant\n")
	hashes := []string{argonHash, scramHash, bcryptHash,
		"{CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"}
	for i := range n {
		fmt.Fprintf(&b, "user%06d@example.net,\"%s\",1GiB,t1\n", i, hashes[i%len(hashes)])
	}
	path := filepath.Join(t.TempDir(), "many.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Batches meet at their borders.
func TestImportOfMany(t *testing.T) {
	startCLINode(t)
	if _, errs := mustRun(t, "user", "import",
		importFile(t, 2345)); errs != "2345 users visible\n" {
		t.Errorf("%s", errs)
	}
	out, _ := mustRun(t, "user", "list")
	if n := strings.Count(out, "\n"); n != 2345 {
		t.Errorf("%d users", n)
	}
}

func TestDomainImport(t *testing.T) {
	startCLINode(t)
	file := write(t, "domains.csv",
		"domain,separator\nexample.net,\nexample.org,none\nexample.com,-\n")
	if _, errs := mustRun(t, "domain", "import", file); errs != "3 domains added or changed\n" {
		t.Errorf("%s", errs)
	}
	want := "example.com  separator -\nexample.net  separator +  in the configuration\n" +
		"example.org  no separator\nmx1.example  separator +  in the configuration\n" +
		"xn--zrich-kva.example  separator +  in the configuration\n"
	if out, _ := mustRun(t, "domain", "list"); out != want {
		t.Errorf("%s", out)
	}
	path := filepath.Join(t.TempDir(), "out.json")
	mustRun(t, "domain", "export", path)
	if status, _, errs := postroad(t, "", "domain", "import", path); status != 65 ||
		!strings.Contains(errs, path+":1:11: there is a domain of that name") {
		t.Errorf("again: %d, %s", status, errs)
	}
	mustRun(t, "domain", "import", path, "--replace")
	if out, _ := mustRun(t, "domain", "list"); out != want {
		t.Errorf("%s", out)
	}
	bad := write(t, "bad.csv", "domain,separator\na b,\nexample.biz,xx\n")
	if status, _, errs := postroad(t, "", "domain", "import", bad); status != 65 ||
		!strings.Contains(errs, bad+":2:1:") || !strings.Contains(errs, bad+":3:1:") ||
		!strings.Contains(errs, "nothing was added") {
		t.Errorf("a bad file: %d, %s", status, errs)
	}
}
