#!/usr/bin/env bash
# Format, lint and vet (golangci-lint runs vet, too: .golangci.yml); changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh tools

unformatted="$(git ls-files '*.go' | xargs .tools/bin/gofumpt -l)"
if [ -n "$unformatted" ]; then
	echo "not formatted (make fmt):" >&2
	echo "$unformatted" >&2
	exit 1
fi
.tools/bin/golangci-lint run ./...
