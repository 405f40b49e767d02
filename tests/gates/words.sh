#!/bin/sh
# No marker of unfinished work other than NEEDSWORK (which this lists), no path of somebody's machine.
set -eu
cd "$(dirname "$0")/../.."
bad=$(git grep -nwE 'TODO|FIXME|XXX|HACK' -- ':!tests/gates/words.sh' || true)
paths=$(git grep -nE '(^|[^A-Za-z0-9])/(work|root|home)/' -- ':!tests/gates/words.sh' ':!LICENSE' || true)
git grep -n 'NEEDSWORK:' -- ':!tests/gates/words.sh' ':!CONTRIBUTING.md' || true
if [ -n "$bad$paths" ]; then
    printf '%s\n' "$bad" "$paths"
    exit 1
fi
echo "words: clean"
