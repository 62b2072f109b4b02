package roster

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/postroad/postroad/directory"
)

const phc = "{ARGON2ID}$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg"

// all reads a file to its end: its rows and its problems, in order.
func all[T any](t *testing.T, r *Reader[T], err error) (rows []*T, problems []string) {
	t.Helper()
	for err == nil {
		var row *T
		if row, err = r.Next(); err == nil {
			rows = append(rows, row)
			continue
		}
		var p *Problem
		if !errors.As(err, &p) {
			break
		}
		problems, err = append(problems, p.Error()), nil
		if len(problems) > 100 {
			t.Fatalf("no end: %v", problems)
		}
	}
	var p *Problem
	if errors.As(err, &p) {
		return rows, append(problems, p.Error())
	}
	if err != io.EOF {
		t.Errorf("ended with %v", err)
	}
	return rows, problems
}

func TestUsersInBothForms(t *testing.T) {
	csv := "\ufeffAddress,hash,senders,hard_quota,mailbox,keep_copy,forward,messages,password\r\n" +
		"a@x.example," + `"` + phc + `"` +
		",@x.example b@x.example,5GiB,,yes,\"c@y.example\r\n d@y.example\",500/h,\r\n" +
		"\r\n" +
		"b@x.example,,,1024,no,,,,\" a,\"\"b\"\"\"\r\n"
	json := `[ {"address": "a@x.example", "hash": "` + phc + `", "senders": ["@x.example", "b@x.example"], "hard_quota": 5368709120,
		"keep_copy": true, "forward": ["c@y.example", "d@y.example"], "messages": "500/h", "tenant": null},
		{"address":"b@x.example","hard_quota":"1KiB","mailbox":false,"password":" a,\"b\""} ]`
	r, err := Users(strings.NewReader(csv), "csv")
	fromCSV, bad := all(t, r, err)
	if bad != nil || len(fromCSV) != 2 {
		t.Fatalf("CSV: %d rows, %v", len(fromCSV), bad)
	}
	r, err = Users(strings.NewReader(json), "json")
	fromJSON, bad := all(t, r, err)
	if bad != nil || len(fromJSON) != 2 {
		t.Fatalf("JSON: %d rows, %v", len(fromJSON), bad)
	}
	want := directory.Settings{
		Senders:  []string{"@x.example", "b@x.example"},
		Hard:     5 << 30,
		Keep:     true,
		Forward:  []string{"c@y.example", "d@y.example"},
		Messages: directory.Rate{N: 500, Per: 3600e9},
	}
	if u := fromCSV[0]; u.Hash != phc || !reflect.DeepEqual(u.Settings, want) ||
		u.Place != (Place{2, 1}) {
		t.Errorf("CSV: %+v", u)
	}
	if u := fromCSV[1]; u.Password != ` a,"b"` || !u.Settings.NoMailbox ||
		u.Settings.Hard != 1024 ||
		u.Line != 5 {
		t.Errorf("CSV: %+v", u)
	}
	for i := range fromCSV {
		fromCSV[i].Place, fromJSON[i].Place = Place{}, Place{}
		if fmt.Sprint(*fromCSV[i]) != fmt.Sprint(*fromJSON[i]) {
			t.Errorf("CSV %+v, JSON %+v", *fromCSV[i], *fromJSON[i])
		}
	}
	for _, format := range []string{"csv", "json"} { // and back
		var out strings.Builder
		w, err := UserWriter(&out, format)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range fromCSV {
			w.Write(u)
		}
		w.Flush()
		r, err := Users(strings.NewReader(out.String()), format)
		again, bad := all(t, r, err)
		for i := range again {
			again[i].Place = Place{}
		}
		if bad != nil || fmt.Sprint(deref(again)) != fmt.Sprint(deref(fromCSV)) {
			t.Errorf("%s\n%v\n%v\n%v", out.String(), bad, deref(again), deref(fromCSV))
		}
	}
}

func deref[T any](all []*T) (values []T) {
	for _, one := range all {
		values = append(values, *one)
	}
	return values
}

// TestProblems: a wrong row is told with its place, and the rows after it are read.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		format, file string
		rows         int
		want         []string
	}{
		{"csv", "", 0, []string{"line 1, column 1: the file is empty"}},
		{"csv", "hash\nx\n", 0, []string{"line 1, column 1: the first line names the columns"}},
		{"csv", "address,quota\n", 0, []string{`line 1, column 9: there is no column "quota"`}},
		{"csv", "address,hash,hash\n", 0, []string{`line 1, column 14: there are two columns`}},
		{"csv", "address,hash\na@x.example\nb@x.example,,\nc@x.example,\n", 1,
			[]string{"line 2, column 1: there are 1 fields, and the first line names 2",
				"line 3, column 1: there are 3 fields"}},
		{"csv", "address,hash\nnobody,\na@x.example,{MD5}x\nc@x.example,\n", 1,
			[]string{`line 2, column 1: "nobody"`, "line 3, column 13: {MD5} is not a scheme"}},
		{"csv", "address,hard_quota,soft_quota\na@x.example,lots,\nb@x.example,1,2\n", 0,
			[]string{"line 2, column 13: hard_quota", "line 3, column 1: a quota is not"}},
		{"csv", "address,mailbox,forward,senders\na@x.example,maybe,,\nb@x.example,,x,\nc@x.example,,,y\n", 0, []string{"line 2, column 13: mailbox", `line 3, column 14: "x"`, `line 4, column 15: "y"`}},
		{"csv", "address,password,hash\na@x.example,pw,\"" + phc + "\"\nb@x.example,\"a\x01b\",\n",
			0, []string{"line 2, column 16: there is a password as well",
				"line 3, column 13: a password has"}},
		{"csv", "address,scram\na@x.example,{SCRAM-SHA-256}1\n", 0,
			[]string{"line 2, column 13: not SCRAM"}},
		{"csv", "address,hash\na@x.example,\"b\nc@x.example,\n", 0,
			[]string{"line 3, column 14: extraneous or missing \" in quoted-field, in the row " +
				"that begins on line 2"}},
		{"csv", "address,hash\na\"@x.example,\nc@x.example,\n", 1,
			[]string{"line 2, column 2: bare"}},
		{"json", "", 0, nil},
		{"json", "[]", 0, nil},
		{"json", `{"address":"a@x.example"} {"address":"b@x.example"}`, 2, nil},
		{"json", "{\"address\":\"nobody\"}\n  {\"address\":\"a@x.example\",\n \"quota\": " +
			"5}\n{\"address\":\"b@x.example\"}", 1,
			[]string{`line 1, column 12: "nobody"`, `line 3, column 11: there is no "quota"`}},
		{"json", `{"address":"a@x.example","address":"b@x.example"}`, 0,
			[]string{`line 1, column 36: there is a "address" already`}},
		{"json", `{"address":["a@x.example"]}`, 0,
			[]string{"line 1, column 12: address: it is one text"}},
		{"json", `{"address":"a@x.example","forward":[1]}`, 0,
			[]string{"line 1, column 36: a list has texts only"}},
		{"json", `{"address":"a@x.example","forward":{"x":1}} {"address":"b@x.example"}`, 1,
			[]string{"line 1, column 36: an object has no place here"}},
		{"json", "[{\"address\":\"a@x.example\"},\n{\"address\":}]", 1,
			[]string{"line 2, column 12: invalid character '}'"}},
		{"json", `[{"address":"a@x.example"}`, 1,
			[]string{"line 1, column 27: the file ends too early"}},
		{"json", `{"address":"a@x.example"`, 0,
			[]string{"line 1, column 25: the file ends too early"}},
		{"json", `5`, 0, []string{"line 1, column 2: an object was expected"}},
	} {
		r, err := Users(strings.NewReader(c.file), c.format)
		rows, got := all(t, r, err)
		ok := len(rows) == c.rows && len(got) == len(c.want)
		for i := range c.want {
			ok = ok && strings.HasPrefix(got[i], c.want[i])
		}
		if !ok {
			t.Errorf(
				"%q: %d rows, want %d\n got %q\nwant %q",
				c.file,
				len(rows),
				c.rows,
				got,
				c.want,
			)
		}
	}
	if _, err := Users(nil, "xml"); err == nil {
		t.Error("xml")
	}
}

func TestAliases(t *testing.T) {
	file := "address,targets,owner\n@x.example,a@x.example,\nteam@x.example,a@x.example " +
		"B@y.example,boss@x.example\nnone@x.example,,\nx,a@x.example,\ny@x.example,z,\nz@x.example,a@x.example,w\n"
	r, err := Aliases(strings.NewReader(file), "csv")
	rows, bad := all(t, r, err)
	if len(rows) != 2 || len(bad) != 4 || rows[1].Owner != "boss@x.example" ||
		!reflect.DeepEqual(rows[1].Targets, []string{"a@x.example", "B@y.example"}) {
		t.Fatalf("%v, %q", deref(rows), bad)
	}
	var out strings.Builder
	w, _ := AliasWriter(&out, "json")
	for _, a := range rows {
		w.Write(a)
	}
	w.Flush()
	if want := `{"address":"@x.example","targets":["a@x.example"]}` + "\n" +
		`{"address":"team@x.example","owner":"boss@x.example","targets":["a@x.example","B@y.example"]}` + "\n"; out.String() != want {
		t.Errorf("%s", out.String())
	}
}

// No file makes a reader go on for ever, and every row that it gives can be written and read again.
func fuzz(f *testing.F, format string, seeds ...string) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		r, err := Users(strings.NewReader(file), format)
		if err != nil {
			return
		}
		for n := 0; ; n++ {
			if n > len(file)+2 {
				t.Fatalf("%q has more than %d rows", file, n)
			}
			u, err := r.Next()
			var p *Problem
			if errors.As(err, &p) {
				if p.Line < 1 || p.Column < 1 || p.Line > strings.Count(file, "\n")+1 {
					t.Fatalf("%q: a problem at line %d, column %d", file, p.Line, p.Column)
				}
				continue
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("%q: %v", file, err)
			}
			var out strings.Builder
			w, _ := UserWriter(&out, format)
			w.Write(u)
			w.Flush()
			again, err := Users(strings.NewReader(out.String()), format)
			if err != nil {
				t.Fatal(err)
			}
			v, err := again.Next()
			if err != nil || v.Address != u.Address || v.Hash != u.Hash ||
				v.Settings.Hard != u.Settings.Hard {
				t.Fatalf("%q: %+v written as %q and read as %+v, %v", file, u, out.String(), v, err)
			}
		}
	})
}

func FuzzCSV(f *testing.F) {
	fuzz(
		f,
		"csv",
		"address,hash\na@x.example,"+phc+"\n",
		"address,password\na@x.example,\"x\ny\"\n",
		"address\n\"",
		"a\n",
		"address,forward\na@x.example,\"b@x.example c@x.example\"\n",
	)
}

func FuzzJSON(f *testing.F) {
	fuzz(
		f,
		"json",
		`[{"address":"a@x.example","hash":"`+phc+`"}]`,
		`{"address":"a@x.example","forward":["b@x.example"],"hard_quota":5}{}`,
		`[[`,
		`{"":{`,
		`[]]`,
	)
}
