#!/bin/sh
# clang-tidy over every C file of the rooms (or those given), two at a time. Usage: tidy.sh BUILD_DIR [FILE...]
set -eu
cd "$(dirname "$0")/../.."
build=$1
shift
tidy=$(command -v clang-tidy-14 || command -v clang-tidy)
[ $# -gt 0 ] || set -- $(git ls-files 'base/*.c' 'rules/*.c' 'collectors/*.c' 'report/*.c' 'watchdog/*.c')
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 4 "$tidy" --quiet -p "$build" 2>/dev/null
echo "tidy: $# files clean"
