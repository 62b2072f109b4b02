package cli

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
)

const completionHelp = `
Prints a script that completes commands and flags, and the values of flags that are files or one of a few words. It is for the version that has
printed it: packages and upgrades print it anew.

    postroad completion bash >/usr/share/bash-completion/completions/postroad
    postroad completion zsh >/usr/share/zsh/vendor-completions/_postroad
    postroad completion fish >/usr/share/fish/vendor_completions.d/postroad.fish
    source <(postroad completion bash)               # for this shell only`

// CompletionCommand is the row of a command that prints what shells need to complete the commands
// of table, those of the program of that name.
func CompletionCommand(program string, table func() []Command) Command {
	scripts := map[string]func(io.Writer, string, []entry){
		"bash": bash, "zsh": zsh, "fish": fish,
	}
	return Command{Name: "completion", Args: "bash|zsh|fish",
		Short: "print a script with which a shell completes commands and flags",
		Long:  completionHelp,
		Run: func(_ context.Context, c *Console, args []string) error {
			rest, err := c.Parse(c.Flags(), args)
			if err != nil {
				return err
			}
			if len(rest) != 1 || scripts[rest[0]] == nil {
				return Usage("one shell is needed: bash, zsh or fish",
					"for example: "+c.Path+" bash")
			}
			root := entry{Command: Command{Sub: table()}, path: program}
			scripts[rest[0]](c.Out, program, append([]entry{root}, entries(root.Sub, program)...))
			return nil
		}}
}

// quote makes one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// paths lists the commands, as patterns of a case.
func paths(all []entry) string {
	var list []string
	for _, e := range all[1:] {
		list = append(list, quote(e.path))
	}
	return strings.Join(list, " | ")
}

// eachValue calls fn with the flags that take a value: those of files, those of words, and at last
// all others, each as the patterns of a case.
func eachValue(all []entry, fn func(patterns string, files bool, words []string)) {
	var files, others []string
	words := map[string][]string{} // patterns by the words
	for _, e := range all {
		for _, o := range e.options {
			switch pattern := quote(e.path + " --" + o.name); {
			case o.value == "":
			case o.files:
				files = append(files, pattern)
			case len(o.words) > 0:
				key := strings.Join(o.words, " ")
				words[key] = append(words[key], pattern)
			default:
				others = append(others, pattern)
			}
		}
	}
	fn(strings.Join(files, " | "), true, nil)
	for _, key := range slices.Sorted(maps.Keys(words)) {
		fn(strings.Join(words[key], " | "), false, strings.Fields(key))
	}
	fn(strings.Join(others, " | "), false, nil)
}
