#!/usr/bin/bash
# Creates the cluster on the first node.
set -euo pipefail

kubeadm init --config /etc/kubernetes/kubeadm.yaml
