#!/usr/bin/env bash
# Chats on a cluster with the official Phoenix client, and fails if a message
# was lost, came twice or out of order:
#
#   k8s/smoke.sh NAMESPACE                 through kubectl port-forward
#   k8s/smoke.sh NAMESPACE URL             through your ingress or NodePort
#   k8s/smoke.sh NAMESPACE URL --break     and meanwhile restarts the edges, then
#                                          NATS, and deletes a pod of each with
#                                          grace period 0
#
# It needs kubectl, Node 20 and npm.
set -euo pipefail
if (($# < 1 || $# > 3)) || [[ ${3:---break} != --break ]]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0"
  exit 2
fi
clients=$(cd "$(dirname "$0")/../test/js" && pwd)
namespace=$1 url=${2:-}
k() { kubectl -n "$namespace" "$@"; }
say() { printf '%s  %s\n' "$(date +%T)" "$*"; }

[[ -d $clients/node_modules ]] || npm --prefix "$clients" ci --no-progress --silent

k rollout status statefulset/nats --timeout 5m
k rollout status deployment/edge --timeout 5m

if [[ -z $url ]]; then
  log=$(mktemp)
  kubectl -n "$namespace" port-forward service/edge :80 >"$log" 2>&1 &
  trap 'kill $!; rm -f "$log"' EXIT
  until url=$(sed -n 's#^Forwarding from 127.0.0.1:\([0-9]*\).*#http://127.0.0.1:\1#p' "$log") && [[ -n $url ]]; do
    kill -0 $! || { cat "$log"; exit 1; }
    sleep 0.1
  done
fi

say "chatting at $url"
if (($# < 3)); then
  node "$clients/smoke.js" "$url" 5
  exit
fi

# The clients talk until the file is gone.
talking=$(mktemp)
trap 'rm -f "$talking"; wait' EXIT # they end, and say how it went, whatever happens here
node "$clients/smoke.js" "$url" "$talking" &
sleep 5

say 'rollout restart of the edges'
k rollout restart deployment/edge >/dev/null
k rollout status deployment/edge --timeout 10m >/dev/null
say 'rollout restart of NATS'
k rollout restart statefulset/nats >/dev/null
k rollout status statefulset/nats --timeout 10m >/dev/null
for app in edge nats; do
  pod=$(k get pods -l app=$app -o jsonpath='{.items[0].metadata.name}')
  say "deleting pod $pod with grace period 0"
  k delete pod "$pod" --grace-period 0 --force >/dev/null 2>&1
  sleep 5
  k wait --for condition=Ready pod -l app=$app --timeout 5m >/dev/null
done
say 'all is up again'
sleep 10
rm -f "$talking"
wait $!
