#!/usr/bin/env bash
# Runs every test with the race detector: unit and protocol tests, real PostgreSQL
# and Redis, the official JavaScript client and a browser against the real binary
# (package web).
# With CI=true a skipped test counts as failed. Arguments go to `go test`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh cc web browser postgres redis python php strace

[ $# -gt 0 ] || set -- ./...
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
go tool -modfile=tools/go.mod gotestsum --format pkgname-and-test-fails --jsonfile "$log" -- -race -timeout 25m "$@"

if [ "${CI:-}" = true ] && grep '"Action":"skip"' "$log" | grep '"Test":' >&2; then
	echo "FAIL: the tests above were skipped, which counts as failed here" >&2
	exit 1
fi
