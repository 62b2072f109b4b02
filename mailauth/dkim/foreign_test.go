package dkim

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// dkimpy verifies the messages that it is given the names of and prints what it finds of each
// signature. The keys it gets from a file instead of DNS.
const dkimpy = `
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

// python returns a Python that has dkimpy: Debian's, if another one comes first in the path.
func python(t *testing.T) string {
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

// TestDkimpyVerifies: the Python program that Debian has verifies what we sign, and does not verify
// it with another From.
func TestDkimpyVerifies(t *testing.T) {
	interpreter := python(t)
	dir := t.TempDir()
	keys, err := json.Marshal(published("signer.example", testKeys()))
	if err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(dir, "records.json")
	if err := os.WriteFile(records, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	signatures := testSignatures(t)
	const messages = 150
	var list strings.Builder
	for seed := range uint64(messages) {
		mail := varied(1000 + seed)
		signed, err := sign(t, mail, signatures...)
		if err != nil {
			t.Fatalf("seed %d: %v\n%q", seed, err, mail)
		}
		for i, text := range []string{signed, "From: b@other.example\r\n" + signed} {
			name := filepath.Join(dir, fmt.Sprintf("%d.%d", seed, i))
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&list, name)
		}
	}
	run := exec.Command(interpreter, "-c", dkimpy, records)
	run.Stdin, run.Stderr = strings.NewReader(list.String()), os.Stderr
	out, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2*messages {
		t.Fatalf("%d answers of %d", len(lines), 2*messages)
	}
	for i, line := range lines {
		var results []string
		if err := json.Unmarshal([]byte(line), &results); err != nil {
			t.Fatal(err)
		}
		if len(results) != len(signatures) {
			t.Errorf("message %d: %d signatures", i/2, len(results))
		}
		for j, why := range results {
			if good := why == ""; good != (i%2 == 0) {
				mail, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.%d", i/2, i%2)))
				t.Fatalf("message %d, signature %d: %q\n%q", i/2, j, why, mail)
			}
		}
	}
}
