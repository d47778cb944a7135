#!/usr/bin/env bash
# Makes the Secrets that the manifests name, with fresh random values:
#
#   k8s/secrets.sh NAMESPACE
#
# Those that are there are left as they are. For a new one delete the old one,
# run this again, then: kubectl -n NAMESPACE rollout restart statefulset/nats deployment/edge
# It needs kubectl and openssl. Nothing is written to a file or a command line.
set -euo pipefail
(($# == 1)) || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
namespace=$1

kubectl get namespace "$namespace" >/dev/null 2>&1 || kubectl create namespace "$namespace" --save-config

secret() { # NAME KEY
  if kubectl -n "$namespace" get secret "$1" >/dev/null 2>&1; then
    echo "secret/$1 is there"
    return
  fi
  # It begins with a letter: NATS would read one that begins with a digit as a
  # number.
  printf 'k%s' "$(openssl rand -hex 32)" |
    kubectl -n "$namespace" create secret generic "$1" --from-file="$2=/dev/stdin"
}

secret nats-edge password  # the NATS user of edges
secret nats-admin password # who may create the stream
secret nats-sys password   # NATS's system account, for operators
secret edge secret         # what edges share: long-polling sessions
