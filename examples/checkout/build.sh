#!/bin/sh
# Builds the example service with Debian's Go and its packaged libraries: no download.
# Usage: build.sh [OUTPUT], default build/bin/checkout.
set -eu
cd "$(dirname "$0")"
out=${1:-../../build/bin/checkout}
mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
command -v go >/dev/null || { echo "build: no 'go'; run packages/install.sh example" >&2; exit 1; }
export GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= CGO_ENABLED=0
export GOCACHE="${GOCACHE:-$(dirname "$out")/.go-cache}"
exec go build -o "$out" .
