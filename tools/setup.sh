#!/usr/bin/env bash
# Sets up a checkout: system packages (when root), .venv with everything at its locked version, compiled guests and modules,
# and the web UI.
# It prints each step. A second run has nothing to do and needs no network. `tools/setup.sh test` also installs packages
# that only the tests and benchmarks need.
set -euo pipefail
cd "$(dirname "$0")/.."
tier=${1:-run}

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }

# Behind a proxy with a certificate authority of its own, one variable is enough: uv reads it, and pip gets it here.
if [ -n "${SSL_CERT_FILE:-}" ]; then export PIP_CERT="${PIP_CERT:-$SSL_CERT_FILE}"; fi

fetch() {  # run a command that downloads; after a certificate error, print what to do
  local log status=0
  log=$(mktemp)
  "$@" 2>&1 | tee "$log" || status=$?
  if [ "$status" -ne 0 ] && grep -qiE 'certificate|SSL|TLS' "$log"; then
    say "a certificate was not trusted: behind a proxy with an authority of its own, name that one's file and try again:"
    say "  SSL_CERT_FILE=/path/to/ca.pem $0"
  fi
  rm -f "$log"
  return "$status"
}

apt_install() {  # install the missing packages among those given by name
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    say "not root: ask an administrator for: apt-get install ${missing[*]}"
    return
  fi
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

if command -v apt-get >/dev/null; then
  apt_install libbpf1 libbpf-dev libelf1 ca-certificates
  python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv
  if [ "$tier" = test ]; then
    apt_install bpftool bpftrace chromium fish fonts-dejavu-core iproute2 procps postgresql redis-server zsh
  fi
else
  say "no apt-get here: make sure libbpf (>= 1.0), its headers and libelf are installed"
fi

if [ ! -x .venv/bin/python ]; then
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "Python 3.11 or newer is needed, found $(python3 -V)"; exit 1; }
  say "creating .venv with $(python3 -V)"
  python3 -m venv .venv
fi
if [ ! -x .venv/bin/uv ]; then
  say "installing uv"
  .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
  fetch .venv/bin/python -m pip install -q --disable-pip-version-check uv
fi

locked=.venv/.locked
if ! cmp -s requirements.lock "$locked"; then
  say "installing the locked requirements"
  fetch .venv/bin/uv pip install -q --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock
  cp requirements.lock "$locked"
fi
project=.venv/.project
if ! cmp -s pyproject.toml "$project"; then
  say "installing quarterdeck into .venv, editable"
  fetch .venv/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation --editable .
  cp pyproject.toml "$project"
fi

(fetch .venv/bin/python -m tools.ui) & ui=$!  # it mostly waits for downloads
.venv/bin/python -m quarterdeck.modulekit.prebuild >/dev/null \
  || say "the built-in modules cannot be compiled here (see above); all else works, \`.venv/bin/qd doctor\` says more"
wait "$ui" || say "the web UI could not be built (see above); all else works, \`make ui\` tries again"
if [ "$tier" = test ]; then
  fetch .venv/bin/python -m tools.ui packages
  zig=${ZIG_GLOBAL_CACHE_DIR:-${TMPDIR:-/tmp}/zig-cache-$(id -u)}
  if [ ! -e "$zig/warm" ]; then
    say "building the C library that the tests' programs link with (once, about a minute)"
    mkdir -p "$zig" && echo 'int main(void) { return 0; }' > "$zig/warm.c"
    ZIG_GLOBAL_CACHE_DIR=$zig ZIG_LOCAL_CACHE_DIR=$zig .venv/bin/python -m ziglang cc "$zig/warm.c" -o "$zig/warm"
  fi
fi
[ "$tier" = test ] || say "ready: .venv/bin/qd --help"
