#!/usr/bin/env bash
# Prints rules.yaml: monitoring/alerts.yml as prometheus-operator wants it.
#
#   k8s/components/monitoring/rules.sh > k8s/components/monitoring/rules.yaml
set -euo pipefail
cat <<'YAML'
# Made by rules.sh of monitoring/alerts.yml: change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: aristochat}
spec:
YAML
sed -n '/^groups:/,$ s/^./  &/p' "$(dirname "$0")/../../../monitoring/alerts.yml"
