package archive

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plant makes files, with the directories above them; a name that ends with "/" is a directory.
func plant(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o700)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readMaildir returns "folder: content" of all messages, the folders, and the report.
func readMaildir(t *testing.T, dir string) (all, folders []string, report *Report) {
	t.Helper()
	r, err := NewMaildirReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.OnFolder = func(name string) error { folders = append(folders, name); return nil }
	err = func() error {
		_, err := Copy(keeper{&all}, r, 0, nil)
		return err
	}()
	if err != nil {
		t.Fatal(err)
	}
	return all, folders, r.Report()
}

// keeper keeps messages as "folder: content".
type keeper struct{ all *[]string }

func (keeper) Folder(string) error { return nil }
func (k keeper) Write(m *Message) error {
	*k.all = append(*k.all, m.Folder+": "+string(m.Content))
	return nil
}
func (keeper) Close() error { return nil }

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// packed is "Subject: packed\n\nbody\n" as the programs compress it.
var packed = map[string]string{
	"bzip2": unbase64("QlpoOTFBWSZTWQ3aacMAAALbgAAQQAAAEAgAPhjGICAAMUwAE0KPUaAPapgVmmLXZDGUaD4u" +
		"5IpwoSAbtNOG"),
	"xz": unbase64("/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAVU3ViamVjdDogcGFja2VkCgpib2R5CgAAAMby" +
		"5rQAmFTrAAEuFlYJVd8ftvN9AQAAAAAEWVo="),
	"zstd":    unbase64("KLUv/SQWsQAAU3ViamVjdDogcGFja2VkCgpib2R5CgQyQM0="),
	"lz4":     unbase64("BCJNGGRApxYAAIBTdWJqZWN0OiBwYWNrZWQKCmJvZHkKAAAAAHPGA8U="),
	"dovecot": "Dovecot-LZ4\x0d\x2a\x9b\xc5\x00\x01\x00\x00\x00\x00\x00\x17rest",
	"gzip":    gzipped("Subject: packed\n\nbody\n"),
}

func unbase64(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprint(w, s)
	w.Close()
	return b.String()
}

// TestCompressedFiles: compressed files are unpacked or refused by name, and never are messages.
func TestCompressedFiles(t *testing.T) {
	dir := plant(t, map[string]string{
		"cur/1.gz,S=22:2,S": packed["gzip"], "cur/2.bz:2,": packed["bzip2"],
		"cur/3.zst:2,": packed["zstd"], "new/4.xz": packed["xz"], "cur/5.lz4:2,": packed["lz4"],
		"cur/6.dovecot:2,": packed["dovecot"],
		"cur/7.cut:2,":     packed["gzip"][:20], "cur/8.bad:2,": "\x28\xb5\x2f\xfdnonsense",
		"cur/9.bad:2,":   "\x1f\x8b",
		"cur/10.twice:2": gzipped(packed["xz"]), "cur/11.text:2,": "BZh9 is a way to begin\n",
		"cur/12.empty:2,": unbase64("QlpoORdyRThQkAAAAAA="),
	})
	all, _, report := readMaildir(t, dir)
	plain := "INBOX: Subject: packed\r\n\r\nbody\r\n"
	equal(t, "messages", all,
		[]string{plain, plain, plain, "INBOX: BZh9 is a way to begin\r\n", "INBOX: "})
	lines := report.Lines()
	for i, want := range []string{"1 file refused: compressed with xz, to be unpacked with `xz -dc",
		"1 file refused: compressed with lz4, to be unpacked with `lz4 -dc",
		"1 file refused: compressed with lz4 in Dovecot's own format",
		"4 files refused: compressed and cannot be unpacked"} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("the report is %q, want %q", lines, want)
		}
	}
	for i, names := range [][]string{{"4.xz"}, {"5.lz4"}, {"6.dovecot"},
		{"7.cut", "8.bad", "9.bad", "10.twice", "unexpected EOF"}} {
		for _, name := range names {
			if !strings.Contains(lines[i], name) {
				t.Errorf("%q does not name %s", lines[i], name)
			}
		}
	}
	if report.Refused() != 7 || len(lines) != 4 {
		t.Errorf("%d refused: %q", report.Refused(), lines)
	}
}

// TestOursAreNotUnpacked: a message that is itself compressed comes back as it was.
func TestOursAreNotUnpacked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "md")
	w, err := NewMaildirWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, []*Message{{"INBOX", 0, sample()[0].Date, []byte(packed["gzip"])}})
	all, _, _ := readMaildir(t, dir)
	equal(t, "messages", all, []string{"INBOX: " + packed["gzip"]})
}

// TestUnpackIsBounded: a few octets that unpack to many are refused at the bound.
func TestUnpackIsBounded(t *testing.T) {
	bomb := gzipped(strings.Repeat("0", 10<<20))
	c := compressionOf([]byte(bomb))
	if _, err := c.unpack([]byte(bomb), 100_000); err != errTooLarge {
		t.Errorf("a bomb gave %v", err)
	}
	if b, err := c.unpack([]byte(bomb), 10<<20); err != nil || len(b) != 10<<20 {
		t.Errorf("what is at the bound gave %d octets, %v", len(b), err)
	}
	r, err := NewMaildirReader(plant(t, map[string]string{"cur/1.bomb:2,": bomb,
		"cur/2.mail:2,": "A: b\n"}))
	if err != nil {
		t.Fatal(err)
	}
	r.most = 100_000
	var all []string
	if _, err := Copy(keeper{&all}, r, 0, nil); err != nil {
		t.Fatal(err)
	}
	equal(t, "messages", all, []string{"INBOX: A: b\r\n"})
	if r.Report().Refused() != 1 || !strings.Contains(r.Report().Lines()[0], "1.bomb") {
		t.Errorf("%q", r.Report().Lines())
	}
}

// TestLayoutFS: the folders of Dovecot's LAYOUT=fs, whose inbox is in either place.
func TestLayoutFS(t *testing.T) {
	folders := map[string]string{
		"Work/cur/1:2,": "a\n", "Work/v1.2/deep/cur/2:2,": "b\n", "Work/50%25/new/3": "c\n",
		"Work/50%25/cur/": "", "Empty/cur/": "", "Entw&APw-rfe/cur/4:2,": "d\n",
		"INBOX/Sub/cur/5:2,": "e\n", "sieve/scripts/": "", "subscriptions": "Work\n",
		".Old.Mail/cur/6:2,": "f\n", "cur/cur/7": "no folder\n",
	}
	at := func(inboxDir string) string {
		files := map[string]string{inboxDir + "cur/0:2,": "i\n"}
		for name, content := range folders {
			files[name] = content
		}
		return plant(t, files)
	}
	messages := []string{"INBOX: i\r\n", "Old/Mail: f\r\n", "Entwürfe: d\r\n", "INBOX/Sub: e\r\n",
		"Work: a\r\n", "Work/50%25: c\r\n", "Work/v1.2/deep: b\r\n"}
	names := []string{"INBOX", "Old/Mail", "Empty", "Entwürfe", "INBOX/Sub", "Work", "Work/50%25",
		"Work/v1.2/deep"}

	all, have, report := readMaildir(t, at(""))
	equal(t, "messages", all, messages)
	equal(t, "folders", have, names)
	if lines := report.Lines(); len(lines) != 1 ||
		!strings.HasPrefix(lines[0], "1 entry of a directory cur or new left out") {
		t.Errorf("the report is %q", lines)
	}

	delete(folders, "cur/cur/7")
	all, have, report = readMaildir(t, at("INBOX/"))
	equal(t, "messages", all, messages)
	equal(t, "folders", have, names)
	if lines := report.Lines(); lines != nil {
		t.Errorf("the report is %q", lines)
	}
}

// TestNoMaildir: of a directory with a Maildir in it the error says where that is.
func TestNoMaildir(t *testing.T) {
	for says, files := range map[string]map[string]string{
		"the first is ":        {"Maildir/cur/1:2,": "a\n", ".bashrc": ""},
		"has no directory cur": {"x": ""},
	} {
		dir := plant(t, files)
		if _, err := NewMaildirReader(dir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", files, err)
		}
	}
}

// TestLinksInMaildir: links are not followed to where their owner could not read, but told of.
func TestLinksInMaildir(t *testing.T) {
	other := plant(t, map[string]string{"cur/1:2,": "other's\n"})
	dir := plant(t, map[string]string{"cur/1:2,": "a\n", "Work/cur/2:2,": "b\n"})
	for name, target := range map[string]string{"Loop": dir, "Work/Other": other,
		".Shared": other, "cur/3:2,": filepath.Join(other, "cur/1:2,"), "nothing": "/nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	all, _, report := readMaildir(t, dir)
	equal(t, "messages", all, []string{"INBOX: a\r\n", "Shared: other's\r\n", "Work: b\r\n"})
	lines := report.Lines()
	if len(lines) != 2 || !strings.Contains(lines[0], "1 entry of") ||
		!strings.Contains(lines[1], "2 directories left out") ||
		!strings.Contains(lines[1], "Work/Other (a symbolic link)") {
		t.Errorf("the report is %q", lines)
	}
}

// TestDeepMaildir: what is too deep to be searched is named.
func TestDeepMaildir(t *testing.T) {
	deep := strings.Repeat("d/", maxFolderDepth)
	all, _, report := readMaildir(t, plant(t, map[string]string{"cur/": "",
		deep + "cur/1:2,": "a\n", deep + "d/cur/2:2,": "b\n"}))
	equal(t, "messages", all, []string{strings.TrimSuffix(deep, "/") + ": a\r\n"})
	if lines := report.Lines(); len(lines) != 1 || !strings.Contains(lines[0], "too deep") {
		t.Errorf("the report is %q", lines)
	}
}

// TestModifiedUTF7: RFC 3501 5.1.3, with its examples.
func TestModifiedUTF7(t *testing.T) {
	for name, want := range map[string]string{
		"~peter/mail/&U,BTFw-/&ZeVnLIqe-": "~peter/mail/台北/日本語",
		"Entw&APw-rfe":                    "Entwürfe", "R&-D": "R&D", "&-": "&", "plain": "plain",
		"&2D3eAA-": "😀", "&Jjo-!": "☺!", "&-APw-": "&APw-", "": "",
	} {
		if got, ok := fromUTF7(name); !ok || got != want {
			t.Errorf("%q: %q %v, want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{
		"R&D", "&APw", "&AP-", "&2D0-", "&AGE-", "&AC8-", "&AAo-", "&AH8-",
		"&!!-", "ü&APw-", "a\n&APw-", "&APx-", "&3gA-", "&AP\nw-"} {
		if got, ok := fromUTF7(name); ok {
			t.Errorf("%q was decoded to %q", name, got)
		}
	}
	for name, want := range map[string]string{
		".Entw&APw-rfe.&ZeVnLIqe-": "Entwürfe/日本語", ".R&D": "R&D", ".a&APw.b": "a&APw/b",
		".R%26D": "R&D", ".100%": "100%", ".ü&-": "ü&-", ".Caf&AOk-%41": "Café%41", ".A%42": "AB",
		"Inbox": "INBOX", "R%26D": "R%26D", "ü": "ü",
	} {
		if got := folderName("", name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"R&D", "A&-B", "Entw&APw-rfe", "&", "a.b/c%d&e-"} {
		if got := unescapeFolder(escapeFolder(name)); got != name {
			t.Errorf("%q came back as %q", name, got)
		}
	}
}

// FuzzFolderNames: a folder of ours has its name again, and any directory has one.
func FuzzFolderNames(f *testing.F) {
	for _, name := range []string{"R&D", "Entw&APw-rfe", "a.b/c", "&2D3eAA-", "100%25"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := unescapeFolder(escapeFolder(name)); got != name {
			t.Fatalf("%q came back as %q", name, got)
		}
		plain, ok := fromUTF7(name)
		if ok && strings.Count(plain, "/") != strings.Count(name, "/") {
			t.Fatalf("%q has other levels: %q", name, plain)
		}
	})
}
