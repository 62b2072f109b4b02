package message

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// outline is a tree as text: each part's type and body, and what is wrong with it.
func outline(tree Tree, message string) string {
	var b strings.Builder
	depth := map[int]int{-1: -1}
	for i, p := range tree.Parts {
		depth[i] = depth[p.Parent] + 1
		fmt.Fprintf(&b, "%s%s", strings.Repeat(".", depth[i]), p.Type)
		if p.Next == i+1 {
			fmt.Fprintf(&b, " %q", message[p.Body:p.End])
		}
		for bit, name := range []string{"no empty line", "junk", "two types", "long", "bad type",
			"no boundary", "no parts", "unclosed", "bad encoding", "too deep", "too many"} {
			if p.Issues&(1<<bit) != 0 {
				fmt.Fprintf(&b, " (%s)", name)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

const mixed = "Subject: x\r\nContent-Type: multipart/mixed; boundary=\"b " +
	"1\"\r\n\r\npreamble\r\n--b 1\r\n\r\none\r\n--b 1  \r\n" +
	"Content-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\nContent-Type: " +
	"text/html\r\n\r\n<p>\r\n\r\n--in--\r\nepilogue\r\n--b 1\r\n" +
	"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: " +
	"base64\r\n\r\nYQ==\r\n--b 1--\r\nepilogue"

func TestTree(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"mixed", mixed,
			"multipart/mixed\n.text/plain \"one\"\n.multipart/alternative\n..text/html " +
				"\"<p>\\r\\n\"\n.message/rfc822\n..text/plain \"YQ==\"\n"},
		{"bare LF", strings.ReplaceAll(mixed, "\r\n", "\n"),
			"multipart/mixed\n.text/plain \"one\"\n.multipart/alternative\n..text/html " +
				"\"<p>\\n\"\n.message/rfc822\n..text/plain \"YQ==\"\n"},
		{"empty", "", "text/plain \"\" (no empty line)\n"},
		{"no body", "A: b\r\n", "text/plain \"\" (no empty line)\n"},
		{"junk", "junk\r\nContent-Type: text/html\r\nContent-type: image/png\r\n\r\nx",
			"text/html \"x\" (junk) (two types)\n"},
		{"bad type", "Content-Type: html\r\n\r\nx", "text/plain \"x\" (bad type)\n"},
		{"bad encoding", "Content-Transfer-Encoding: 8bits\r\n\r\nx",
			"text/plain \"x\" (bad encoding)\n"},
		{"cut in a body", mixed[:len(mixed)-20],
			"multipart/mixed (unclosed)\n.text/plain " +
				"\"one\"\n.multipart/alternative\n..text/html " +
				"\"<p>\\r\\n\"\n.message/rfc822\n..text/plain \"YQ=\"\n"},
		{"cut in a header",
			"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png",
			"multipart/mixed (unclosed)\n.image/png \"\" (no empty line)\n"},
		{"a delimiter in a header",
			"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: " +
				"image/png\r\n--b\r\n\r\nx\r\n--b--",
			"multipart/mixed\n.image/png \"\" (no empty line)\n.text/plain \"x\"\n"},
		{"empty parts",
			"Content-Type: multipart/mixed; " +
				"boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b\r\n\r\n\r\n--b--\r\n",
			"multipart/mixed\n.text/plain \"\" (no empty line)\n.text/plain " +
				"\"\"\n.text/plain \"\"\n"},
		{"no boundary", "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx",
			"multipart/mixed \"--b\\r\\n\\r\\nx\" (no boundary)\n"},
		{"no parts", "Content-Type: multipart/mixed; boundary=b\r\n\r\n-b\r\n--bb\r\n--b-\r\n",
			"multipart/mixed \"-b\\r\\n--bb\\r\\n--b-\\r\\n\" (no parts) (unclosed)\n"},
		{"digest", "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: " +
			"x\r\n\r\ny\r\n--b\r\nContent-Type: text/html\r\n\r\nz\r\n--b--\r\n",
			"multipart/digest\n.message/rfc822\n..text/plain \"y\"\n.text/html \"z\"\n"},
		{"the outer delimiter ends the inner multipart",
			"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: " +
				"multipart/mixed; " +
				"boundary=b\r\n\r\n--b\r\n\r\nx\r\n--a\r\n\r\ny\r\n--b\r\n--a--\r\n",
			"multipart/mixed\n.multipart/mixed (unclosed)\n..text/plain \"x\"\n.text/plain " +
				"\"y\\r\\n--b\"\n"},
		{"one boundary twice",
			"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: " +
				"multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n--a--\r\n",
			"multipart/mixed\n.multipart/mixed\n..text/plain \"x\"\n"},
		{"encoded message",
			"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==",
			"message/rfc822 \"YQ==\" (bad encoding)\n"},
		{"encoded multipart",
			"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: " +
				"base64\r\n\r\n--b\r\n\r\nx\r\n--b--",
			"multipart/mixed (bad encoding)\n.text/plain \"x\"\n"},
		{"raw octets in a boundary",
			"Content-Type: multipart/mixed; " +
				"boundary*=utf-8''%ff%00\r\n\r\n--\xff\x00\r\n\r\nx\r\n--\xff\x00--",
			"multipart/mixed\n.text/plain \"x\"\n"},
		{"a long line of dashes", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" +
			strings.Repeat("-", 1000) + "\r\n--b" + strings.Repeat(" ", 300) + "\r\n--b--",
			"multipart/mixed\n.text/plain \"" + strings.Repeat("-", 1000) + "\\r\\n--b" +
				strings.Repeat(" ", 300) + "\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := Parse([]byte(c.in))
			if got := outline(tree, c.in); got != c.want {
				t.Errorf("%q:\n%s, want\n%s", c.in, got, c.want)
			}
			checkTree(t, tree, []byte(c.in))
		})
	}
}

func TestTreeFacts(t *testing.T) {
	in := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; " +
		"charset=utf-8\r\nContent-Transfer-Encoding: Quoted-Printable " +
		"(x)\r\n\r\none\r\ntwo\r\n\r\n--b--\r\n"
	tree := Parse([]byte(in))
	if got := tree.Children(0); !reflect.DeepEqual(got, []int{1}) || tree.Issues != 0 {
		t.Errorf("%v, %v", got, tree.Issues)
	}
	part := tree.Parts[1]
	if part.Lines != 2 || part.Encoding != QuotedPrintable || len(part.Params) != 1 ||
		part.Params[0].Value != "utf-8" || tree.Parts[0].Lines != 8 {
		t.Errorf("%+v", tree.Parts)
	}
}

func TestTreeIsBounded(t *testing.T) {
	var deep strings.Builder
	for i := range 200 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	tree := Parse([]byte(deep.String() + strings.Repeat("Content-Type: message/rfc822\r\n\r\n",
		200)))
	if n := len(tree.Parts); n > 51 || tree.Issues&TooDeep == 0 {
		t.Errorf("%d parts, %b", n, tree.Issues)
	}
	b := NewBuilder(Limits{Parts: 3})
	b.Write([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
		strings.Repeat("--b\r\n\r\nx\r\n", 5) + "--b--"))
	if tree := b.Close(); len(tree.Parts) != 3 || tree.Issues != TooMany ||
		tree.Parts[2].End-tree.Parts[2].Body != 1 {
		t.Errorf("%+v", tree)
	}
	long := Parse([]byte("Content-Type: text/html; x=" + strings.Repeat("y", 1<<20) + "\r\n\r\n"))
	if long.Issues != LongValue || long.Parts[0].Type != "text/html" {
		t.Errorf("%b, %s", long.Issues, long.Parts[0].Type)
	}
}

// checkTree checks what holds for the tree of any message.
func checkTree(t *testing.T, tree Tree, message []byte) {
	t.Helper()
	if p := tree.Parts[0]; p.Start != 0 || p.End != int64(len(message)) || p.Parent != -1 ||
		p.Next != len(tree.Parts) {
		t.Fatalf("%q: the message is %+v", message, p)
	}
	for i, p := range tree.Parts {
		if p.Start > p.Body || p.Body > p.End || p.Next <= i || p.Next > len(tree.Parts) ||
			p.Parent >= i {
			t.Fatalf("%q: part %d is %+v", message, i, p)
		}
		if n := bytes.Count(message[p.Body:p.End], []byte{'\n'}); p.Lines != int64(n) {
			t.Fatalf("%q: part %d has %d lines, not %d", message, i, n, p.Lines)
		}
		if strings.HasPrefix(p.Type, "message/") {
			checkNested(t, tree, i, message)
			continue
		}
		// Between the parts of a multipart are delimiters.
		at := p.Body
		for n, c := range tree.Children(i) {
			child := tree.Parts[c]
			if child.Parent != i || child.Start < at || child.End > p.End {
				t.Fatalf("%q: part %d is %+v, in it %d is %+v", message, i, p, c, child)
			}
			gap := string(message[at:child.Start])
			if boundary,
				_ := (&StructuredValue{Params: p.Params}).Param("boundary"); !strings.Contains(gap,
				"--"+boundary) || n > 0 && len(gap) > 2+maxDelimiter {
				t.Fatalf("%q: before part %d there is %q", message, c, gap)
			}
			at = child.End
		}
	}
}

// checkNested: the message within a part is what it would be by itself.
func checkNested(t *testing.T, tree Tree, i int, message []byte) {
	p := tree.Parts[i]
	if p.Next == i+1 {
		return
	}
	child := tree.Parts[i+1]
	if child.Start != p.Body || child.End != p.End || child.Next != p.Next {
		t.Fatalf("%q: part %d is %+v, in it %+v", message, i, p, child)
	}
	if tree.Issues&(TooDeep|TooMany) != 0 {
		return
	}
	own := Parse(message[p.Body:p.End])
	for k := range own.Parts {
		q := &own.Parts[k]
		q.Start, q.Body, q.End = q.Start+p.Body, q.Body+p.Body, q.End+p.Body
		q.Parent, q.Next = q.Parent+i+1, q.Next+i+1
	}
	if !reflect.DeepEqual(own.Parts, tree.Parts[i+1:p.Next]) {
		t.Fatalf("%q: within part %d is\n%+v, by itself\n%+v", message, i, tree.Parts[i+1:p.Next],
			own.Parts)
	}
}

// FuzzTree: a message's tree is the same in whatever pieces it comes, and its offsets are right.
func FuzzTree(f *testing.F) {
	for i, s := range append(headers, mixed, strings.ReplaceAll(mixed, "\r\n", "\n"),
		strings.ReplaceAll(mixed, "mixed", "digest"),
		"Content-Type: multipart/a; boundary=-\n\n---\nContent-Type: "+
			"message/rfc822\n\nContent-Type: multipart/b; boundary=\"--\"\n\n----\n\n------\n-----",
		"Content-Type: message/global\r\n\r\n"+mixed) {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, message []byte, seed uint64) {
		limits := Limits{Depth: 4, Parts: 8}
		if seed%2 == 0 {
			limits = Limits{}
		}
		build := func(cut func(left int) int) Tree {
			b := NewBuilder(limits)
			for rest := message; len(rest) > 0; {
				n := cut(len(rest))
				b.Write(rest[:n])
				rest = rest[n:]
			}
			return b.Close()
		}
		tree := build(whole)
		if other := build(pieces(seed)); !reflect.DeepEqual(tree, other) {
			t.Fatalf("%q:\n%+v, in pieces\n%+v", message, tree, other)
		}
		checkTree(t, tree, message)
		if limits.Parts > 0 && len(tree.Parts) > limits.Parts {
			t.Fatalf("%d parts", len(tree.Parts))
		}
	})
}

func BenchmarkBuilder(b *testing.B) {
	attachment := strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 1300)
	message := []byte(
		"Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n--=_b\r\nContent-Type: " +
			"text/plain; charset=utf-8\r\n\r\nHello.\r\n--=_b\r\n" +
			"Content-Type: application/pdf; name=x.pdf\r\n" +
			"Content-Transfer-Encoding: base64\r\n\r\n" +
			attachment + "--=_b--\r\n")
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		Parse(message)
	}
}
