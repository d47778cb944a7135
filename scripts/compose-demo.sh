#!/usr/bin/env bash
# Shows on one Docker engine what scripts/deploy-demo.sh shows on Kubernetes:
# clients talk while edges and NATS servers are restarted one by one, then one of
# each is killed.
#
#   scripts/compose-demo.sh [FLAG of loadtest]...
#
# It starts what docker-compose.yml has, with three edges, and leaves it running.
# From the environment:
#
#   PAUSE   seconds of peace between two steps: 15
#   OUT     where report.txt, timeline.csv and steps.txt are left: ./compose-demo
#   STEPS   what to do, in this order: "edges nats kill-edge kill-nats"
#
# It needs docker with compose and buildx.
set -euo pipefail
[[ ${1:-} != -h && ${1:-} != --help ]] || { sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 2; }
flags=(--sockets=2000 --rate=200 --ramp=100 "$@")
mkdir -p "${OUT:=compose-demo}"
out=$(cd "$OUT" && pwd)
cd "$(dirname "$0")/.."

say() { printf '%s  %s\n' "$(date -u +%FT%TZ)" "$*" | tee -a "$out/steps.txt"; }
peace() { sleep "${PAUSE:-15}"; }

healthy() { # CONTAINER
  until [[ $(docker inspect -f '{{.State.Health.Status}}' "$1") = healthy ]]; do sleep 0.5; done
}

restart() { # CONTAINER...
  local c
  for c; do
    say "stopping $(docker inspect -f '{{.Name}}' "$c"), and starting it again"
    docker stop -t 60 "$c" >/dev/null
    docker start "$c" >/dev/null
    healthy "$c"
    peace
  done
}

killed() { # CONTAINER
  say "killing $(docker inspect -f '{{.Name}}' "$1"), and starting it again"
  docker kill "$1" >/dev/null
  docker start "$1" >/dev/null
  healthy "$1"
  peace
}

: >"$out/steps.txt"
docker compose up --detach --build --wait --scale edge=3
docker build --quiet --target loadtest --tag aristochat/loadtest:dev . >/dev/null

mapfile -t edges < <(docker compose ps -q edge)
mapfile -t nats < <(docker compose ps -q nats-1 nats-2 nats-3)

docker rm -f aristochat-loadtest >/dev/null 2>&1 || true
network=$(docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' "$(docker compose ps -q lb)")
docker run --detach --name aristochat-loadtest --network "$network" --read-only --cap-drop ALL \
  aristochat/loadtest:dev --server=lb:4000 --duration=24h --timeline=- "${flags[@]}" >/dev/null
trap 'docker rm -f aristochat-loadtest >/dev/null' EXIT
until [[ $(docker logs aristochat-loadtest 2>&1) = *'all have joined'* ]]; do
  [[ $(docker inspect -f '{{.State.Running}}' aristochat-loadtest) = true ]] || { docker logs aristochat-loadtest; exit 1; }
  sleep 1
done
say 'all clients have joined'
peace

for step in ${STEPS:-edges nats kill-edge kill-nats}; do
  case $step in
    edges) restart "${edges[@]}" ;;
    nats) restart "${nats[@]}" ;;
    kill-edge) killed "${edges[0]}" ;;
    kill-nats) killed "${nats[0]}" ;;
    *) echo "$0: unknown step $step" >&2; exit 2 ;;
  esac
done

say 'ending the load'
docker stop -t 180 aristochat-loadtest >/dev/null
docker logs aristochat-loadtest 2>/dev/null >"$out/log.txt"
awk '/^second,/ || /^[0-9]+,/' "$out/log.txt" >"$out/timeline.csv"
awk '/^run  /,0' "$out/log.txt" | tee "$out/report.txt"
exit "$(docker inspect -f '{{.State.ExitCode}}' aristochat-loadtest)"
