#!/usr/bin/env bash
# Sets up a checkout: system packages (when root), .venv with everything at its locked version, compiled guests and modules.
# Says what it does; the second time there is nothing to do, and no network is needed. `tools/setup.sh test` also installs
# what only the tests and benches need.
set -euo pipefail
cd "$(dirname "$0")/.."
tier=${1:-run}

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

apt_install() {  # the packages that are missing, by name
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
    apt_install bpftool bpftrace iproute2 procps postgresql redis-server
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
  .venv/bin/python -m pip install -q --disable-pip-version-check uv
fi

locked=.venv/.locked
if ! cmp -s requirements.lock "$locked"; then
  say "installing the locked requirements"
  .venv/bin/uv pip install -q --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock
  cp requirements.lock "$locked"
fi
project=.venv/.project
if ! cmp -s pyproject.toml "$project"; then
  say "installing quarterdeck into .venv, editable"
  .venv/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation --editable .
  cp pyproject.toml "$project"
fi

.venv/bin/python -m quarterdeck.modulekit.prebuild >/dev/null \
  || say "the built-in modules cannot be compiled here (see above); all else works, \`.venv/bin/qd doctor\` says more"
if [ "$tier" = test ]; then
  zig=${ZIG_GLOBAL_CACHE_DIR:-${TMPDIR:-/tmp}/zig-cache-$(id -u)}
  if [ ! -e "$zig/warm" ]; then
    say "building the C library that the tests' programs link with (once, about a minute)"
    mkdir -p "$zig" && echo 'int main(void) { return 0; }' > "$zig/warm.c"
    ZIG_GLOBAL_CACHE_DIR=$zig ZIG_LOCAL_CACHE_DIR=$zig .venv/bin/python -m ziglang cc "$zig/warm.c" -o "$zig/warm"
  fi
fi
[ "$tier" = test ] || say "ready: .venv/bin/qd --help"
