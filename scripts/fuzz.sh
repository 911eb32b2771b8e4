#!/usr/bin/env bash
# Runs every fuzz target of the given packages for the given time.
set -euo pipefail
cd "$(dirname "$0")/.."
time="${1:-20s}"
shift || true

for pkg in $(go list "${@:-./...}"); do
	for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
		echo "== $pkg $target"
		# Minimizing what merely covers something new would take most of the time.
		go test -run '^$' -fuzzminimizetime 20x -fuzz "^$target\$" -fuzztime "$time" "$pkg"
	done
done
