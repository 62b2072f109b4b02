// Package dkimpy asks Debian's python3-dkim what it thinks of signatures.
package dkimpy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script verifies the messages that it is given the names of and prints what it finds of each
// signature. The keys it gets from a file instead of DNS.
const script = `
import dkim, json, sys
records = {k.encode() + b".": v.encode() for k, v in json.load(open(sys.argv[1])).items()}
for line in sys.stdin:
    mail = open(line.strip(), "rb").read()
    n = sum(1 for name, _ in dkim.rfc822_parse(mail)[0] if name.lower() == b"dkim-signature")
    out = []
    for i in range(n):
        try:
            ok = dkim.DKIM(mail).verify(idx=i, dnsfunc=lambda name, timeout=5: records.get(name))
            out.append("" if ok else "does not verify")
        except Exception as e:
            out.append(repr(e))
    print(json.dumps(out))
`

// Verify returns for each message, and each of its signatures, what is wrong with it; "": nothing
// is. records are the key records by their names, without final dots. Without python3-dkim the test
// is skipped, with POSTROAD_E2E=require it fails.
func Verify(t testing.TB, records map[string]string, messages [][]byte) (all [][]string) {
	t.Helper()
	interpreter, dir := python(t), t.TempDir()
	keys, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "records.json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for i, m := range messages {
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, m, 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&list, name)
	}
	run := exec.Command(interpreter, "-c", script, file)
	run.Stdin, run.Stderr = strings.NewReader(list.String()), os.Stderr
	out, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var one []string
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if len(all) != len(messages) {
		t.Fatalf("%d answers of %d", len(all), len(messages))
	}
	return all
}

// python returns a Python that has dkimpy: Debian's, if another one comes first in the path.
func python(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import dkim, nacl").Run() == nil {
			return name
		}
	}
	if os.Getenv("POSTROAD_E2E") == "require" {
		t.Fatal("POSTROAD_E2E=require: Debian's python3-dkim is not installed")
	}
	t.Skip("skipped: Debian's python3-dkim is not installed")
	return ""
}
