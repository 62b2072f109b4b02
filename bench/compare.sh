#!/usr/bin/env bash
# Compares the Go benchmarks of the hot parts at another revision, the newest release by default, with those of the present tree: one
# command, benchstat's table.
#
#   bench/compare.sh [REVISION]
#   COUNT=10 BENCHTIME=1s bench/compare.sh v1.2.0
#
# The two are run in alternation, so that what slows the machine for a while slows both. Benchmarks that only one side has are shown without a change.
set -euo pipefail
cd "$(dirname "$0")/.."
then=${1:-$(git describe --tags --abbrev=0 2>/dev/null || git rev-parse HEAD~1)}
count=${COUNT:-6} benchtime=${BENCHTIME:-200ms}
benchstat=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

# The hot parts: session step, command parse, content receive, queue apply, propose, schedule, client transaction.
packages=(./smtpd ./internal/smtp ./queue ./cluster ./delivery ./delivery/smtpclient)
pattern='^Benchmark(Session|ParseMail|ParseRcpt|DataReceiver|DotStuffer|ReplyParser|Accept|Apply|Settle|Propose|Schedule|Deliver)$'

work=$(mktemp -d)
trap 'git worktree remove --force "$work/then" 2>/dev/null || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/then" "$then"
echo "comparing $(git -C "$work/then" describe --always --tags) with the present tree, $count times $benchtime each" >&2

build() { # folder, name: a test binary of each package
  mkdir "$work/$2.bin"
  for p in "${packages[@]}"; do
    (cd "$1" && [ ! -d "$p" ] || go test -c -o "$work/$2.bin/$(echo "$p" | tr ./ __)" "$p")
  done
}
measure() { # folder, name: one run of all
  for p in "${packages[@]}"; do
    bin="$work/$2.bin/$(echo "$p" | tr ./ __)"
    [ ! -x "$bin" ] || (cd "$1/$p" && "$bin" -test.run '^$' -test.bench "$pattern" -test.benchmem -test.benchtime "$benchtime") >>"$work/$2.txt"
  done
}
build "$work/then" then
build "$PWD" now
for ((i = 0; i < count; i++)); do
  measure "$work/then" then
  measure "$PWD" now
done
go run "$benchstat" then="$work/then.txt" now="$work/now.txt"
