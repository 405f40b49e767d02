#!/usr/bin/env bash
# From nothing to a sealed bundle of a real incident, on Debian 12: installs what is missing, builds, starts the example
# service, loads it to 80 % of its capacity, watches it with incidentd until it dips by itself, shows what on-call sees.
#
#   examples/quickstart.sh [--no-install] [--keep]
#
#   --no-install  skips the packages
#   --keep        leaves service, load and incidentd running at the end, to look around; says how to end them
#
# Ctrl-C, and the end, stop everything that was started. The store stays, in build/quickstart/run or in /var/tmp.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
build=$root/build/quickstart
keep=no
install=yes
for argument in "$@"; do
    case $argument in
    --keep) keep=yes ;;
    --no-install) install=no ;;
    *)
        sed -n '2,10s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    esac
done

pids=()     # what to end, in this order
progress=no # a line that is being overwritten

step() { # NAME TEXT: one line for each thing done
    [ "$progress" = no ] || printf '\r\033[K'
    progress=no
    printf '%4d s  %-10s %s\n' "$SECONDS" "$1" "$2"
}

live() { # TEXT: the line that changes; without a terminal one line in ten
    if [ -t 1 ]; then
        printf '\r\033[K%4d s  %-10s %s' "$SECONDS" watching "$1"
        progress=yes
    elif [ $((watched % 10)) = 0 ]; then
        step watching "$1"
    fi
}

fail() {
    step failed "$1"
    [ -z "${2-}" ] || tail -n 20 "$2" | sed 's/^/        | /'
    exit 1
}

end() { # ends one of ours by its pid
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

clean() {
    local code=$? pid
    trap - EXIT
    trap '' INT TERM
    [ "$progress" = no ] || echo
    for pid in "${pids[@]}"; do
        end "$pid"
    done
    exit "$code"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- packages, programs, accounts -------------------------------------------------------------------------------------

if [ "$install" = yes ]; then
    step packages "$(packages/install.sh build run example 2>&1 | sed 's/^install: //' | paste -sd ';')"
    packages/install.sh --list build example >/dev/null || fail "packages are missing: packages/install.sh build example"
fi
packaged=$SECONDS

mkdir -p "$build"
log=$build/build.log
step build "incidentd, with the release preset"
{
    cmake --preset release -B "$build" -DBUILD_TESTING=OFF && cmake --build "$build" -j "$(nproc)"
} >"$log" 2>&1 </dev/null || fail "the build failed; the end of $log:" "$log"
step build "examples/checkout, with Debian's Go"
examples/checkout/build.sh "$build/bin/checkout" >"$log" 2>&1 </dev/null || fail "the build of checkout failed:" "$log"

# Started as root, incidentd gives up its rights for two accounts, which must be able to reach programs and store.
through() {
    local at=$1
    while [ "$at" != / ]; do
        [ $((0$(stat -c %a "$at") & 1)) = 1 ] || return 1
        at=$(dirname "$at")
    done
}

bin=$build/bin
run=$build/run
if [ "$(id -u)" = 0 ]; then
    for account in incidentd incidentd-work; do
        id "$account" >/dev/null 2>&1 && continue
        useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$account"
        step account "created the system account '$account' (userdel $account takes it away again)"
    done
    if ! through "$build"; then
        run=$(mktemp -d /var/tmp/incidentd-quickstart.XXXXXX)
        cp -r "$bin" "$run/bin"
        bin=$run/bin
        step place "other accounts cannot enter $root: running from $run"
    fi
else
    step account "not root: incidentd runs as $(id -un) alone, without the rights to see into other accounts' processes"
fi
mkdir -p "$run"
rm -rf "$run/store"
chmod 755 "$run"

# ---- the service and its load -----------------------------------------------------------------------------------------

# The allowed CPUs, one a line.
cpus() {
    taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' | while IFS=- read -r from to; do
        seq "$from" "${to:-$from}"
    done
}
two=$(cpus | head -n 2 | paste -sd ,)
others=$(cpus | tail -n +3 | paste -sd ,)

start_service() { # OPTION...: sets service, port, pprof
    : >"$run/gctrace.log"
    : >"$run/checkout.log"
    taskset -c "$two" "$bin/checkout" --listen 127.0.0.1:0 --pprof-listen 127.0.0.1:0 --gctrace-log "$run/gctrace.log" \
        "$@" >"$run/checkout.log" 2>&1 </dev/null &
    service=$!
    pids=("$service")
    until grep -q listening "$run/checkout.log"; do
        kill -0 "$service" 2>/dev/null || fail "checkout ended:" "$run/gctrace.log"
        sleep 0.05
    done
    port=$(sed -n 's/.*listening on [0-9.]*:\([0-9]*\),.*/\1/p' "$run/checkout.log")
    pprof=$(sed -n 's/.*pprof on [0-9.]*:\([0-9]*\),.*/\1/p' "$run/checkout.log")
}

start_load() { # RATE: sets load
    taskset -c "${others:-$two}" "$bin/load" --port "$port" --rate "$1" >"$run/load.log" 2>&1 </dev/null &
    load=$!
}

calibrate() {
    taskset -c "${others:-$two}" "$bin/load" --port "$port" --calibrate --deadline 50 >"$run/calibration.log" 2>&1 \
        </dev/null &
    pids=($! "$service")
    wait "$!" || fail "the calibration failed:" "$run/calibration.log"
    capacity=$(sed -n 's/^capacity //p' "$run/calibration.log")
    [ "${capacity:-0}" -gt 0 ] || fail "no rate keeps the deadline on this machine right now:" "$run/calibration.log"
}

# Starts the load and makes sure that the service is well under it; on a machine with other work 80 % may be too much.
settle() {
    local turn
    for turn in 1 2 3 4; do
        start_load "$rate"
        pids=("$load" "$service")
        sleep 4.3
        [ "$(tail -n 3 "$run/load.log" | awk '$NF < 0.999' | wc -l)" = 0 ] && return
        end "$load"
        rate=$((rate * 85 / 100))
        step load "the machine is busy with other work, and the service not well even now: lowering the load to $rate/s"
    done
    start_load "$rate"
}

start_service --fixed
step service "checkout without its bug, on CPU $two, to find its capacity"
calibrate
rate=$((capacity * 80 / 100))
step capacity "$capacity requests/s with 99 % of answers within 50 ms; the load will be 80 %: $rate/s"
end "$service"
start_service
step service "checkout as it is: http://127.0.0.1:$port, pid $service"
taskset -c "${others:-$two}" "$bin/load" --port "$port" --rate $((rate / 4 + 1)) --duration 2 --quiet >/dev/null # warms it up
settle
pids=("$load" "$service")

# ---- incidentd ----------------------------------------------------------------------------------------------------------

free_port() { # a port nobody listens on
    local p
    for p in 9911 $(seq 19911 19990); do
        (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p"; return; }
    done
}
api=127.0.0.1:$(free_port)
sed -e "s|127.0.0.1:8080|127.0.0.1:$port|; s|127.0.0.1:6060|127.0.0.1:$pprof|; s|{port: 8080}|{pid: $service}|" \
    -e "s|/tmp/checkout|$run|; s|127.0.0.1:9911|$api|" examples/checkout/incidentd.yaml >"$run/incidentd.yaml"
"$bin/incidentctl" check "$run/incidentd.yaml" >"$run/check.log" 2>&1 || fail "the configuration has problems:" "$run/check.log"
"$bin/incidentd" -c "$run/incidentd.yaml" >"$run/incidentd.log" 2>&1 </dev/null &
daemon=$!
pids=("$daemon" "$load" "$service")
until curl -sf -o /dev/null "http://$api/-/ready"; do
    kill -0 "$daemon" 2>/dev/null || fail "incidentd ended:" "$run/incidentd.log"
    [ "$SECONDS" -lt $((packaged + 200)) ] || fail "incidentd does not become ready:" "$run/incidentd.log"
    sleep 0.1
done
step incidentd "watches it each second: http://$api/, objective 0.999"

# ---- the dip --------------------------------------------------------------------------------------------------------------

ctl() {
    "$bin/incidentctl" "$@" --server "http://$api"
}

# State of the newest capture of the rule that is of this grade or, without one, of any.
capture_state() {
    ctl ls 2>/dev/null | awk -v grade="${1-}" '$3 == "availability" && (grade == "" || $4 == grade) { print $5; exit }'
}

heap() {
    curl -sf -m 1 "http://127.0.0.1:$port/metrics" | awk '$1 == "go_memstats_heap_inuse_bytes" { printf "%.0f MB", $2 / 1e6 }'
}

step waiting "for the dip; nothing makes it happen but the bug"
since=$SECONDS
raised=$SECONDS
watched=0
told=no
until [[ "$(capture_state full)" =~ ^(sealed|partial) ]]; do
    kill -0 "$daemon" 2>/dev/null || fail "incidentd ended:" "$run/incidentd.log"
    kill -0 "$service" 2>/dev/null || fail "checkout ended:" "$run/gctrace.log"
    sleep 1
    watched=$((watched + 1))
    live "$((SECONDS - since)) s: $rate requests/s,$(tail -n 1 "$run/load.log" | sed -n 's/.*  \(p99 [0-9.]*\) .*availability \(.*\)/ \1 ms, availability \2/p'), heap $(heap || true)"
    if [ "$told" = no ] && [ -n "$(capture_state)" ]; then
        told=yes
        step dip "after $((SECONDS - since)) s: $(ctl ls | awk '$3 == "availability" { getline; sub(/^ */, ""); print; exit }')"
    fi
    if [ "$told" = no ] && [ $((SECONDS - raised)) -ge 90 ]; then
        [ $((SECONDS - since)) -lt 200 ] || fail "no dip within 200 s" "$run/load.log"
        raised=$SECONDS
        rate=$((rate * 115 / 100))
        step load "no dip within 90 s: raising the load to $rate/s"
        end "$load"
        start_load "$rate"
        pids=("$daemon" "$load" "$service")
    fi
    [ $((SECONDS - since)) -lt 270 ] || fail "no full capture was sealed" "$run/incidentd.log"
done
step sealed "the bundle is complete; this is what on-call sees with: incidentctl show latest"
echo
ctl show latest
echo
bundle=$(ctl ls | awk '$3 == "availability" && $4 == "full" { print $NF; exit }').tar.zst
step done "$((SECONDS - packaged)) s after the packages. The bundle stays here:"
echo "  $run/store/bundles/$bundle"

if [ "$keep" = yes ]; then
    step kept "look around: $bin/incidentctl ls --server http://$api; end it: kill ${pids[*]}"
    disown -a
    pids=()
fi
