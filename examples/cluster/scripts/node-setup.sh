#!/usr/bin/bash
# Prepares every node, whatever its role.
set -euo pipefail

hostnamectl hostname "$(cat /etc/k8s-role)-$(cut -c1-8 /etc/machine-id)"
rpm-ostree install --idempotent --apply-live kubelet kubeadm kubectl cri-o
systemctl enable --now crio kubelet
