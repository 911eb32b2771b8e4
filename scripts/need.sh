#!/usr/bin/env bash
# Installs what the named targets need and is not there yet:
#   tools     the Go tools of tools/go.mod, into .tools/bin
#   tests     all of the following
#   web       the npm packages of web/package-lock.json
#   browser   Chromium, through apt
#   cc        a C compiler for the race detector, through apt
#   postgres  PostgreSQL's server programs (tests start their own), through apt
#   redis     redis-server (tests start their own), through apt
#   python    Python with the package websockets, through apt
#   php       PHP for the command line, through apt
#   strace    strace, which makes system calls fail for tests, through apt
set -euo pipefail
cd "$(dirname "$0")/.."

# apt installs packages when we are root, and otherwise says what to install.
apt() {
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "need: please install $* (this needs root)" >&2
		return 1
	fi
	echo "need: installing $*" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# tools builds each tool by itself so that one missing does not rebuild the others.
tools() {
	local sum stamp=.tools/stamp
	sum="$(cat tools/go.mod tools/go.sum | sha256sum) $(go env GOVERSION)"
	[ "$(cat $stamp 2>/dev/null)" = "$sum" ] && return
	echo "need: building the tools of tools/go.mod (minutes, once)" >&2
	mkdir -p .tools/bin
	go -C tools build -o ../.tools/bin/ tool
	echo "$sum" >$stamp
}

web() {
	cmp -s web/package-lock.json web/node_modules/.installed && return
	command -v npm >/dev/null || apt npm
	echo "need: npm ci in web/" >&2
	npm --prefix web ci --no-audit --no-fund --loglevel=error
	cp web/package-lock.json web/node_modules/.installed
}

browser() {
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || packages+=(chromium)
}

cc() {
	command -v gcc >/dev/null || command -v clang >/dev/null || packages+=(gcc libc6-dev)
}

# Debian keeps the server programs out of PATH (internal/pgtest looks in the same places).
postgres() {
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || packages+=(postgresql)
}

redis() {
	command -v redis-server >/dev/null || packages+=(redis-server)
}

python() {
	python3 -c "import websockets" 2>/dev/null || /usr/bin/python3 -c "import websockets" 2>/dev/null || packages+=(python3-websockets)
}

php() {
	type -P php >/dev/null || packages+=(php-cli)
}

strace() {
	type -P strace >/dev/null || packages+=(strace)
}

tests() {
	for target in cc browser postgres redis python php strace web; do
		"$target"
	done
}

packages=() # that apt installs, all in one call
for target in "$@"; do
	case $target in
	tools | tests | web | browser | cc | postgres | redis | python | php | strace) "$target" ;;
	*) echo "need: unknown target $target" >&2 && exit 2 ;;
	esac
done
[ ${#packages[@]} = 0 ] || apt "${packages[@]}"
