#!/usr/bin/bash
# Asks for the target disk and installs this node's role on it.
set -euo pipefail

lsblk --nodeps --output NAME,SIZE,MODEL
read -rp 'Disk to install to (everything on it is lost): ' disk
coreos-installer install "/dev/${disk#/dev/}" --ignition-file /usr/local/bin/k8s.ign
systemctl reboot
