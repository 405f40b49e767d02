#!/bin/sh
# Every C file is as clang-format leaves it.
set -eu
cd "$(dirname "$0")/../.."
format=$(command -v clang-format-14 || command -v clang-format)
git ls-files '*.c' '*.h' | xargs "$format" --dry-run -Werror
