#!/bin/sh
# Puts Debian's Postgres into an image, with the official image's user and an entrypoint of the same environment.
# Runs in the image's root: see in_root.sh.
set -eu

groupadd --system --gid 999 postgres
useradd --system --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres

mkdir -p /etc/postgresql-common
# The package would make a database of its own.
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf

export DEBIAN_FRONTEND=noninteractive
# Packages that start services see that there is nothing to start them in.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
apt-get -qq update
apt-get -qq install --yes --no-install-recommends postgresql-15
rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /usr/share/doc/*postgres* /usr/share/man/*

install -m 755 /mnt/source/tools/cluster/images/postgres_entrypoint.sh /usr/local/bin/entrypoint
