package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/cli"
)

// foreign is a program that is not ours. Without it the test is skipped, unless it is to be there.
func foreign(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("POSTROAD_E2E") == "require":
		t.Fatalf("POSTROAD_E2E=require: %v", err)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// question is a command line and what is to be offered for its last word; want nil: names of files.
type question struct {
	words []string
	want  []string
}

// questions are about every command and its flags, as help lists them.
func questions(t *testing.T) (all []question) {
	t.Helper()
	flagLine := regexp.MustCompile(`(?m)^  (--[a-z0-9-]+)`)
	var visit func(rows []cli.Command, words []string)
	visit = func(rows []cli.Command, words []string) {
		var names []string
		for _, row := range rows {
			names = append(names, row.Name)
			at := append(words[:len(words):len(words)], row.Name)
			if len(row.Sub) > 0 {
				visit(row.Sub, at)
			}
			if row.Run == nil {
				continue
			}
			flags := []string{"--help"}
			_, help, _ := postroad(t, "", append(at[1:], "--help")...)
			for _, m := range flagLine.FindAllStringSubmatch(help, -1) {
				flags = append(flags, m[1])
			}
			all = append(all, question{append(at[:len(at):len(at)], "--"), flags})
		}
		all = append(all, question{append(words[:len(words):len(words)], ""), names})
	}
	visit(commands(), []string{"postroad"})
	states := []string{"ready", "inflight", "deferred", "held"}
	return append(all,
		question{[]string{"postroad", "queue", "list", "--domain", "x", "--state", ""}, states},
		question{[]string{"postroad", "queue", "list", "--state", "h"}, []string{"held"}},
		question{[]string{"postroad", "completion", ""}, []string{"bash", "zsh", "fish"}},
		question{[]string{"postroad", "queue", "list", "--domain", ""}, []string{}},
		question{[]string{"postroad", "serve", "--config", "completion_t"}, nil},
		question{[]string{"postroad", "user", "import", "completion_t"}, nil},
	)
}

// answers compares what a shell has offered, a line for each question.
func answers(t *testing.T, asked []question, out string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != len(asked) {
		t.Fatalf("%d answers to %d questions:\n%s", len(lines), len(asked), out)
	}
	for i, q := range asked {
		got, want := strings.Fields(lines[i]), slices.Clone(q.want)
		if q.want == nil {
			want = []string{"completion_test.go"}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q:\n got %q\nwant %q", q.words, got, want)
		}
	}
}

// script writes the completion of a shell, and checks its syntax.
func script(t *testing.T, shell string) (program, file string) {
	t.Helper()
	program, file = foreign(t, shell), filepath.Join(t.TempDir(), "completion."+shell)
	status, out, errs := postroad(t, "", "completion", shell)
	if status != 0 {
		t.Fatal(errs)
	}
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "-n", file).CombinedOutput(); err != nil {
		t.Fatalf("%s -n: %v\n%s", shell, err, out)
	}
	return program, file
}

// askShell runs a shell with a text on standard input.
func askShell(t *testing.T, text, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(text)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	return string(out)
}

func shellWords(words []string) string { return "'" + strings.Join(words, "' '") + "'" }

func TestCompletionOfBash(t *testing.T) {
	program, file := script(t, "bash")
	asked := questions(t)
	asked = append(asked, question{[]string{"postroad", "queue", "list", "--state", "=", "he"},
		[]string{"held"}}) // bash parts --state=he
	text := "source " + file + "\nq() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _postroad; " +
		"echo \"${COMPREPLY[*]}\"; }\n"
	for _, q := range asked {
		text += "q " + shellWords(q.words) + "\n"
	}
	answers(t, asked, askShell(t, text, program, "--norc"))
}

// TestCompletionOfZsh has the script's function called as zsh's completion does, and stands in for
// the functions of zsh that match what is offered with what is there.
func TestCompletionOfZsh(t *testing.T) {
	program, file := script(t, "zsh")
	asked := questions(t)
	text := `
compdef() { }
_describe() { local one; for one in ${(P)${@[-1]}}; do one=${one%%:*}; [[ $one == $words[CURRENT]* ]] && print -n -- "$one "; done }
_files() { print -n -- $words[CURRENT]*(N) }
q() { words=("$@"); CURRENT=$#; _postroad; print }
source ` + file + "\n"
	for _, q := range asked {
		text += "q " + shellWords(q.words) + "\n"
	}
	answers(t, asked, askShell(t, text, program, "-f"))
}

func TestCompletionOfFish(t *testing.T) {
	program, file := script(t, "fish")
	asked := questions(t)
	text := "source " + file + "\n"
	for _, q := range asked {
		text += "echo (complete -C '" + strings.Join(q.words, " ") + "' | string split -f1 \\t)\n"
	}
	answers(t, asked, askShell(t, text, program, "--no-config"))
}

// TestManualPages: there is a page of each command, with all its flags, and man(1) and its index
// take it without complaint.
func TestManualPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if status, _, errs := postroad(t, "", "man", "--all", dir); status != 0 {
		t.Fatal(errs)
	}
	for _, q := range questions(t) {
		last := len(q.words) - 1
		if q.words[last] != "--" {
			continue
		}
		page, err := os.ReadFile(filepath.Join(dir, "postroad-"+q.words[1]+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, word := range append(q.want, strings.Join(q.words[:last], " ")) {
			if word != "--help" && !strings.Contains(string(page),
				"\n.B "+strings.ReplaceAll(word, "-", `\-`)) {
				t.Errorf("the page of %s does not explain %s", q.words[1], word)
			}
		}
	}
	_, one, _ := postroad(t, "", "man", "queue")
	if file, err := os.ReadFile(filepath.Join(dir, "postroad-queue.1")); err != nil ||
		string(file) != one {
		t.Errorf("`man queue` is another page than that of --all (%v)", err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) != len(commands())+1 {
		t.Errorf("%d pages, %v", len(pages), err)
	}
	groff := foreign(t, "groff")
	if out, err := exec.Command(groff, append([]string{"-man", "-Tutf8", "-ww", "-z"},
		pages...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
	index := foreign(t, "lexgrog") // what mandb(8) makes the index with
	out, err := exec.Command(index, pages...).CombinedOutput()
	if err != nil || strings.Count(string(out), ` - `) != len(pages) {
		t.Errorf("lexgrog: %v\n%s", err, out)
	}
}
