#!/usr/bin/env bash
# The first process of a node: closes the node off from the machine, then collects ended processes until it is killed,
# and with it everything that runs on the node.
#
# usage: first_process.sh FOLDER     prints `ready` once other processes may enter
set -euo pipefail
folder=$1

# What containerd, the CNI plugins and the kubelet write goes to the node's folder.
for path in /run /var/lib /var/log; do
  mkdir -p "$folder$path"
  mount --bind "$folder$path" "$path"
done
# Kernel tunables are those of the whole machine: read-only here. The kubelet insists on setting some, and gets copies.
for path in /proc/sys/kernel /proc/sys/vm; do
  mount --bind "$path" "$path"
  mount -o remount,bind,ro "$path"
done
mkdir "$folder/tunables"
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
  kernel/keys/root_maxbytes; do
  copy=$folder/tunables/${name//\//-}
  cat "/proc/sys/$name" > "$copy"
  mount --bind "$copy" "/proc/sys/$name"
done
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward

echo ready
while :; do
  sleep 3600 &
  wait $! || true
done
