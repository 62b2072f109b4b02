package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// bash writes the script for bash, which needs no other file.
func bash(w io.Writer, program string, all []entry) {
	fmt.Fprintf(w, `# Completion of %[1]s for bash. Made by "%[1]s completion bash".
_%[1]s() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at=%[1]s flags= words= files= i
    COMPREPLY=()
    [[ $cur == = ]] && cur=
    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at ${COMP_WORDS[i]}" in
            %[2]s)
                at+=" ${COMP_WORDS[i]}" ;;
        esac
    done
    case $at in
`, program, paths(all))
	for _, e := range all {
		var flags []string
		for _, o := range e.options {
			flags = append(flags, "--"+o.name)
		}
		fmt.Fprintf(w, "        %s) words=%s flags=%s", quote(e.path),
			quote(strings.Join(slices.Concat(names(e.Sub), e.words), " ")),
			quote(strings.Join(append(flags, "--help"), " ")))
		if e.files {
			fmt.Fprint(w, " files=yes")
		}
		fmt.Fprintln(w, " ;;")
	}
	fmt.Fprint(w, "    esac\n    case \"$at $prev\" in\n")
	eachValue(all, func(patterns string, files bool, words []string) {
		fmt.Fprintf(w, "        %s)\n            ", patterns)
		switch {
		case files:
			fmt.Fprintln(w, "words= flags= files=yes ;;")
		case words != nil:
			fmt.Fprintf(w, "words=%s flags= files= ;;\n", quote(strings.Join(words, " ")))
		default:
			fmt.Fprintln(w, "return ;;")
		}
	})
	fmt.Fprintf(w, `    esac
    [[ $cur == -* || -z $words$files ]] && words=$flags
    if [[ -n $files && $cur != -* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
    COMPREPLY+=($(compgen -W "$words" -- "$cur"))
}
complete -F _%[1]s %[1]s
`, program)
}

// zsh writes the script for zsh, to be found in its fpath or to be sourced.
func zsh(w io.Writer, program string, all []entry) {
	fmt.Fprintf(w, `#compdef %[1]s
# Completion of %[1]s for zsh. Made by "%[1]s completion zsh".
_%[1]s() {
    local at=%[1]s files= i
    local -a offers flags
    for ((i = 2; i < CURRENT; i++)); do
        case "$at ${words[i]}" in
            (%[2]s)
                at+=" ${words[i]}" ;;
        esac
    done
    case $at in
`, program, paths(all))
	described := func(name, about string) string {
		return quote(strings.ReplaceAll(name, ":", `\:`) + ":" + firstLine(about))
	}
	for _, e := range all {
		var offers, flags []string
		for _, row := range e.Sub {
			offers = append(offers, described(row.Name, row.Short))
		}
		for _, o := range e.options {
			flags = append(flags, described("--"+o.name, o.about))
		}
		fmt.Fprintf(w, "        (%s)\n            offers=(%s)\n            flags=(%s)\n",
			quote(e.path), strings.Join(append(offers, e.words...), " "),
			strings.Join(append(flags, described("--help", "explain the command")), " "))
		if e.files {
			fmt.Fprintln(w, "            files=yes")
		}
		fmt.Fprintln(w, "            ;;")
	}
	fmt.Fprint(w, "    esac\n    case \"$at ${words[CURRENT-1]}\" in\n")
	eachValue(all, func(patterns string, files bool, words []string) {
		fmt.Fprintf(w, "        (%s)\n            ", patterns)
		switch {
		case files:
			fmt.Fprintln(w, "_files; return ;;")
		case words != nil:
			fmt.Fprintf(w, "offers=(%s) flags=() files= ;;\n", strings.Join(words, " "))
		default:
			fmt.Fprintln(w, "return ;;")
		}
	})
	fmt.Fprintf(w, `    esac
    if [[ ${words[CURRENT]} == -* || -z "$files" && ${#offers} -eq 0 ]]; then
        _describe -o flag flags
        return
    fi
    (( ${#offers} )) && _describe command offers
    [[ -n "$files" ]] && _files
}
if [[ ${funcstack[1]} == _%[1]s ]]; then
    _%[1]s "$@"
else
    compdef _%[1]s %[1]s
fi
`, program)
}

// fish writes the script for fish.
func fish(w io.Writer, program string, all []entry) {
	fmt.Fprintf(w, `# Completion of %[1]s for fish. Made by "%[1]s completion fish".
function __%[1]s_at
    set -l at %[1]s
    for word in (commandline -opc)[2..-1]
        switch "$at $word"
            case %[2]s
                set at "$at $word"
        end
    end
    test "$at" = "$argv"
end
complete -c %[1]s -f
`, program, strings.ReplaceAll(paths(all), " | ", " "))
	for _, e := range all {
		line := func(format string, args ...any) {
			fmt.Fprintf(w, "complete -c %s -n %s ", program,
				fishQuote("__"+program+"_at "+e.path))
			fmt.Fprintf(w, format+"\n", args...)
		}
		for _, row := range e.Sub {
			line("-a %s -d %s", row.Name, fishQuote(firstLine(row.Short)))
		}
		if len(e.words) > 0 {
			line("-a %s", fishQuote(strings.Join(e.words, " ")))
		}
		if e.files {
			line("-F")
		}
		for _, o := range e.options {
			kind := ""
			switch {
			case o.value == "":
			case o.files:
				kind = " -r -F"
			case len(o.words) > 0:
				kind = " -x -a " + fishQuote(strings.Join(o.words, " "))
			default:
				kind = " -x"
			}
			line("-l %s%s -d %s", o.name, kind, fishQuote(firstLine(o.about)))
		}
		line("-l help -d 'explain the command'")
	}
}

// fishQuote makes one word of fish, for which a backslash is special between quotes, too.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

// firstLine is what a shell has room for.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
