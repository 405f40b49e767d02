#!/usr/bin/env bash
# Installs the Debian packages of the named lists that are missing, and starts none of their services.
#
#   packages/install.sh LIST...        LIST is build, run, test or example
#   packages/install.sh --list LIST... only says what is missing; exit 1 if anything is
#
# Works as root, or through sudo where that needs no question. What is there already is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
policy=/usr/sbin/policy-rc.d

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# The names in the lists: one a line, the rest of the line is the reason.
named() {
    local list
    for list in "$@"; do
        [ -r "$here/$list.txt" ] || { echo "install: no list '$list' in $here" >&2; exit 2; }
        sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$here/$list.txt"
    done | sort -u
}

missing() {
    local name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)" = installed ] || echo "$name"
    done
}

only_list=no
[ "${1-}" = --list ] && { only_list=yes; shift; }
[ $# -gt 0 ] || usage
command -v dpkg-query >/dev/null || { echo "install: this is no Debian; packages/*.txt name what is needed" >&2; exit 1; }
names=$(named "$@")
mapfile -t wanted < <(missing $names)
if [ ${#wanted[@]} = 0 ]; then
    echo "install: every package of $* is there"
    exit 0
fi
echo "install: missing: ${wanted[*]}"
[ "$only_list" = no ] || exit 1

as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
        echo "install: needs root. Run as root: apt-get install --no-install-recommends ${wanted[*]}" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi

# A package may bring a service; policy-rc.d, if nobody has one, keeps it from starting while we install.
made=no
clean() {
    [ "$made" = no ] || "${as_root[@]}" rm -f "$policy"
}
trap clean EXIT
trap 'exit 130' INT TERM
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    made=yes
    "${as_root[@]}" chmod 755 "$policy"
fi

apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
"${apt[@]}" update >/dev/null || echo "install: apt-get update failed; trying with the lists that are here" >&2
"${apt[@]}" install -y --no-install-recommends "${wanted[@]}" </dev/null >/dev/null
left=$(missing "${wanted[@]}")
[ -z "$left" ] || { echo "install: still missing: $left" >&2; exit 1; }
echo "install: installed ${#wanted[@]} packages; no service was started"
