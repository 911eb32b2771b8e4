#!/usr/bin/env bash
# Runs every test with the race detector: unit and protocol tests, real PostgreSQL
# and Redis, the official JavaScript client and a browser against the real binary
# (package web).
# With CI=true a skipped test counts as failed. Arguments go to `go test`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh tests

[ $# -gt 0 ] || set -- ./internal/servertest ./internal/store ./cmd/kuranty ./... # the longest first
# The detector watches our code and what it calls, but not the inside of SQLite (C translated
# to Go, whose memory it does not know anyway) nor of the password hash: half of the time of all tests was theirs.
for unwatched in modernc.org/sqlite/lib modernc.org/libc modernc.org/memory golang.org/x/crypto/argon2 golang.org/x/crypto/blake2b; do
	GOFLAGS="${GOFLAGS:-} -gcflags=$unwatched=-race=false"
done
export GOFLAGS

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
go tool -modfile=tools/go.mod gotestsum --format pkgname-and-test-fails --jsonfile "$log" -- -race -vet=off -ldflags="-s -w" -timeout 25m "$@" # vet: scripts/lint.sh; -s -w: links in two thirds of the time

if [ "${CI:-}" = true ] && grep '"Action":"skip"' "$log" | grep '"Test":' >&2; then
	echo "FAIL: the tests above were skipped, which counts as failed here" >&2
	exit 1
fi
