#!/usr/bin/env bash
# The Debian packages that a node needs which really runs pods (tools/cluster/node), and its images. Needs root.
set -euo pipefail
packages=(containerd runc containernetworking-plugins debootstrap iptables iproute2 util-linux binutils gcc libc6-dev)
installed=$(dpkg-query --show --showformat='${db:Status-Status}\n' "${packages[@]}" 2> /dev/null | grep -c '^installed$' || true)
if [[ $installed -lt ${#packages[@]} ]]; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "${packages[@]}"
fi
