#!/usr/bin/env bash
# Shows on a Kubernetes cluster that deploys go unnoticed: clients talk while the
# edges and then NATS are restarted, and a pod of each is killed. It fails if a
# message was lost, came twice or out of order, or if the clients came back in
# bursts.
#
#   scripts/deploy-demo.sh NAMESPACE [FLAG of loadtest]...
#
# The namespace holds what k8s/ makes: deployment/edge, statefulset/nats. Flags of
# loadtest come last and win: --sockets=500. From the environment:
#
#   IMAGE   the image of loadtest, aristochat/loadtest:dev
#   SERVER  where clients connect, seen from inside: http://edge
#   PAUSE   seconds of peace between two steps: 20
#   OUT     where report.txt, timeline.csv and steps.txt are left: ./deploy-demo
#   STEPS   what to do, in this order: "edges nats kill-edge kill-nats"
#
# It needs kubectl. The report says how it went, docs/loadtest.md what it means.
set -euo pipefail
[[ ${1:--} != -* ]] || { sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 2; }
namespace=$1
shift
flags=(--sockets=2000 --rate=200 --ramp=100 --flat=2 "$@")
out=${OUT:-deploy-demo}

k() { kubectl -n "$namespace" "$@"; }
say() { printf '%s  %s\n' "$(date -u +%FT%TZ)" "$*" | tee -a "$out/steps.txt"; }
peace() { sleep "${PAUSE:-20}"; }

# A deployment counts as rolled out when the new pods are there. The clients of
# the old ones are still on the move.
gone() {
  while [[ -n $(k get pods -l app="$1" -o jsonpath='{.items[*].metadata.deletionTimestamp}') ]]; do sleep 1; done
}

restart() { # KIND/NAME APP
  say "rollout restart of $1"
  k rollout restart "$1" >/dev/null
  k rollout status "$1" --timeout 15m >/dev/null
  gone "$2"
  say "$1 is rolled out"
}

killed() { # KIND/NAME APP
  local pod
  pod=pod/$(k get pods -l app="$2" -o jsonpath='{.items[0].metadata.name}')
  say "deleting $pod with grace 0"
  k delete "$pod" --grace-period=0 --force >/dev/null 2>&1
  sleep 2 # until the controller has seen it
  k rollout status "$1" --timeout 15m >/dev/null
  say "$1 is whole again"
}

# The load: one pod, and the leave to reach the edges, whatever the policies of
# the namespace are.
load() {
  local flag args=''
  for flag in --server="${SERVER:-http://edge}" --duration=24h --timeline=- "${flags[@]}"; do
    args+="${args:+, }\"$flag\""
  done
  cat <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: loadtest}
spec:
  podSelector: {matchLabels: {app: edge}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: loadtest}}}]
      ports: [{protocol: TCP, port: http}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: loadtest-out}
spec:
  podSelector: {matchLabels: {app: loadtest}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: edge}}}]
      ports: [{protocol: TCP, port: http}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: loadtest}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {app: loadtest}}
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 180 # told to end, it waits for its last message
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: loadtest
          image: ${IMAGE:-aristochat/loadtest:dev}
          imagePullPolicy: IfNotPresent
          args: [$args]
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          resources: {requests: {cpu: 100m, memory: 256Mi}, limits: {memory: 1Gi}}
YAML
}

mkdir -p "$out"
: >"$out/steps.txt"
say 'waiting until edges and NATS are up'
k rollout status statefulset/nats --timeout 10m >/dev/null
k rollout status deployment/edge --timeout 10m >/dev/null

k delete job loadtest --ignore-not-found --wait >/dev/null
load | k apply -f - >/dev/null
trap 'k delete job/loadtest networkpolicy/loadtest networkpolicy/loadtest-out --ignore-not-found --wait=false >/dev/null' EXIT
k wait --for=condition=Ready pod -l app=loadtest --timeout 5m >/dev/null
k logs -f job/loadtest >"$out/log.txt" &
log=$!
until grep -q 'all have joined' "$out/log.txt"; do
  kill -0 "$log" 2>/dev/null || { cat "$out/log.txt"; exit 1; }
  sleep 1
done
say 'all clients have joined'
peace

for step in ${STEPS:-edges nats kill-edge kill-nats}; do
  case $step in
    edges) restart deployment/edge edge ;;
    nats) restart statefulset/nats nats ;;
    kill-edge) killed deployment/edge edge ;;
    kill-nats) killed statefulset/nats nats ;;
    *) echo "$0: unknown step $step" >&2; exit 2 ;;
  esac
  peace
done

say 'ending the load'
k delete job loadtest --wait=false >/dev/null
wait "$log"
awk -F, '/^second,/ || /^[0-9]+,/' "$out/log.txt" >"$out/timeline.csv"
awk '/^run  /,0' "$out/log.txt" | grep -v '^[0-9]*,' | tee "$out/report.txt"
grep -q '^verdict  *promises were kept' "$out/report.txt"
