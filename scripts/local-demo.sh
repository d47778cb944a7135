#!/usr/bin/env bash
# Shows without containers what scripts/deploy-demo.sh shows on Kubernetes: three
# nats-servers and three edges on this machine, restarted one by one and then
# killed, while clients talk.
#
#   scripts/local-demo.sh [FLAG of loadtest]...
#
# Their ports are 47xx of the loopback interface. From the environment:
#
#   PAUSE   seconds of peace between two steps: 15
#   OUT     where report.txt, timeline.csv, steps.txt and the logs are left: ./local-demo
#   STEPS   what to do, in this order: "edges nats kill-edges kill-nats"
#
# It needs Go and curl.
set -euo pipefail
[[ ${1:-} != -h && ${1:-} != --help ]] || { sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 2; }
flags=(--sockets=2000 --rate=200 --ramp=100 "$@")
mkdir -p "${OUT:=local-demo}"
out=$(cd "$OUT" && pwd)
cd "$(dirname "$0")/.."
go build -o "$out/bin/" ./cmd/edge ./cmd/loadtest github.com/nats-io/nats-server/v2
cd "$out"
rm -rf nats-*.data ./*.log ./*.pid
: >steps.txt

say() { printf '%s  %s\n' "$(date -u +%FT%TZ)" "$*" | tee -a steps.txt; }
peace() { sleep "${PAUSE:-15}"; }

ready() { # URL
  local try
  for ((try = 0; try < 600; try++)); do
    curl -sf -o /dev/null "$1" && return
    sleep 0.1
  done
  echo "$0: $1 is not ready; see the logs in $out" >&2
  exit 1
}

gone() { # PID
  while kill -0 "$1" 2>/dev/null; do sleep 0.1; done
}

routes=nats://127.0.0.1:4761,nats://127.0.0.1:4762,nats://127.0.0.1:4763
clients=nats://127.0.0.1:4751,nats://127.0.0.1:4752,nats://127.0.0.1:4753

start() { # nats-N or edge-N
  local n=${1#*-}
  case $1 in
    nats-*)
      cat >"$1.conf" <<CONF
server_name: $1
listen: "127.0.0.1:475$n"
http: "127.0.0.1:478$n"
jetstream: {store_dir: "$out/$1.data"}
lame_duck_duration: 30s
lame_duck_grace_period: 2s
cluster: {name: local, listen: "127.0.0.1:476$n", routes: [$routes]}
CONF
      bin/nats-server -c "$1.conf" >>"$1.log" 2>&1 &
      ;;
    edge-*)
      bin/edge --listen "127.0.0.1:470$n" --nats "$clients" --history-replicas 3 --secret 'only for this demo' \
        --drain "${DRAIN:-45s}" --drain-delay "${DRAIN_DELAY:-5s}" >>"$1.log" 2>&1 &
      ;;
  esac
  echo $! >"$1.pid"
  disown
}

up() { # nats-N or edge-N
  case $1 in
    nats-*) ready "http://127.0.0.1:478${1#*-}/healthz" ;;
    edge-*) ready "http://127.0.0.1:470${1#*-}/readyz" ;;
  esac
}

again() { # SIGNAL NAME...
  local signal=$1 name pid
  shift
  for name; do
    say "$signal to $name"
    pid=$(<"$name.pid")
    kill -s "$signal" "$pid"
    gone "$pid"
    sleep 1
    start "$name"
    up "$name"
    say "$name is up again"
    peace
  done
}

# shellcheck disable=SC2317 # the trap calls it
end() {
  local f
  for f in *.pid; do kill "$(<"$f")" 2>/dev/null || true; done
}
trap end EXIT
for n in 1 2 3; do start "nats-$n"; done
for n in 1 2 3; do up "nats-$n"; done
for n in 1 2 3; do start "edge-$n"; done
for n in 1 2 3; do up "edge-$n"; done

bin/loadtest --server=127.0.0.1:4701,127.0.0.1:4702,127.0.0.1:4703 --duration=24h --timeline=timeline.csv "${flags[@]}" \
  >report.txt 2>progress.log &
load=$!
echo "$load" >loadtest.pid
until grep -q 'all have joined' progress.log; do
  kill -0 "$load" 2>/dev/null || { cat progress.log; exit 1; }
  sleep 0.5
done
say 'all clients have joined'
peace

for step in ${STEPS:-edges nats kill-edges kill-nats}; do
  case $step in
    edges) again TERM edge-1 edge-2 edge-3 ;;
    nats) again USR2 nats-1 nats-2 nats-3 ;; # lame duck
    kill-edges) again KILL edge-1 edge-2 edge-3 ;;
    kill-nats) again KILL nats-1 nats-2 nats-3 ;;
    *) echo "$0: unknown step $step" >&2; exit 2 ;;
  esac
done

say 'ending the load'
kill "$load"
code=0
wait "$load" || code=$?
rm loadtest.pid
cat report.txt
tail -n 1 progress.log
exit "$code"
