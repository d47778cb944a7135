#!/usr/bin/env bash
# Makes the certificate of the NATS servers, and a CA for it, as Secrets:
#
#   k8s/tls.sh NAMESPACE
#
# nats-ca is the CA with its key: nothing mounts it. nats-tls is the servers'
# certificate, good for a year, and what edges verify it with. Run this again
# for a new certificate of the same CA, then: kubectl -n NAMESPACE rollout
# restart statefulset/nats. With cert-manager use components/cert-manager instead.
# It needs kubectl and openssl.
set -euo pipefail
(($# == 1)) || { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
namespace=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
umask 077

kubectl get namespace "$namespace" >/dev/null 2>&1 || kubectl create namespace "$namespace" --save-config

if kubectl -n "$namespace" get secret nats-ca >/dev/null 2>&1; then
  kubectl -n "$namespace" get secret nats-ca -o go-template='{{index .data "tls.crt" | base64decode}}' >ca.crt
  kubectl -n "$namespace" get secret nats-ca -o go-template='{{index .data "tls.key" | base64decode}}' >ca.key
else
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -days 3650 -subj '/CN=aristochat NATS CA' -out ca.crt
  kubectl -n "$namespace" create secret tls nats-ca --cert=ca.crt --key=ca.key
fi

names=DNS:nats,DNS:nats.$namespace.svc
for pod in nats-0 nats-1 nats-2; do
  names+=,DNS:$pod.nats,DNS:$pod.nats.$namespace.svc
done
cat >server.ext <<EXT
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = $names
EXT
openssl ecparam -name prime256v1 -genkey -noout -out tls.key
openssl req -new -key tls.key -subj '/CN=nats' -out server.csr
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out tls.crt

# As cert-manager makes it.
kubectl -n "$namespace" create secret generic nats-tls --type=kubernetes.io/tls --dry-run=client -o yaml \
  --from-file=ca.crt --from-file=tls.crt --from-file=tls.key |
  kubectl -n "$namespace" apply --server-side --field-manager=tls.sh -f -
