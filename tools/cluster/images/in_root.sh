#!/usr/bin/env bash
# Runs a command in the root that layers make up; what it writes goes to a tree of its own. Runs in a mount namespace
# that its caller has made for it, so that nothing stays mounted.
#
# usage: in_root.sh LOWER TREE SCRATCH SOURCE UV UV_CACHE COMMAND...
#   LOWER     trees of the layers below, the uppermost first, with colons between
#   TREE      takes what the command writes
#   SCRATCH   an empty folder on the same file system
# Inside are /mnt/source (the repository, read-only), /mnt/uv (the command) and /mnt/cache (uv's).
set -euo pipefail
lower=$1 tree=$2 scratch=$3 source=$4 uv=$5 cache=$6
shift 6

root=$scratch/root
mkdir "$root" "$scratch/work"
mount -t overlay -o "lowerdir=$lower,upperdir=$tree,workdir=$scratch/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
# How this machine reaches package registries; files that are there already, so that the layer gets none of them.
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
mount --bind /etc/ssl/certs "$root/etc/ssl/certs"
mount -t tmpfs tmpfs "$root/mnt"
mkdir "$root/mnt/source" "$root/mnt/cache"
touch "$root/mnt/uv"
mount --bind -o ro "$source" "$root/mnt/source"
mount --bind "$cache" "$root/mnt/cache"
mount --bind "$uv" "$root/mnt/uv"
exec chroot "$root" env HOME=/tmp SOURCE=/mnt/source UV=/mnt/uv UV_CACHE_DIR=/mnt/cache PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
