#!/bin/bash
# Makes the database on the first start, as docker.io/library/postgres does, and becomes Postgres.
#
# PGDATA             where the files are
# POSTGRES_USER      a superuser (postgres)
# POSTGRES_PASSWORD  theirs
# POSTGRES_DB        a database of that user's (named like the user)
set -euo pipefail
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # Beside its place, so that a start which is cut off in the middle is made good by the next.
  new=$PGDATA.new
  rm -rf "$new"
  initdb --pgdata="$new" --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:?}") --encoding=UTF8 \
    --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256
  echo 'host all all all scram-sha-256' >>"$new/pg_hba.conf"
  if [ "$database" != postgres ]; then
    printf 'CREATE DATABASE "%s"\n' "$database" | postgres --single -D "$new" postgres >/dev/null
  fi
  mv "$new" "$PGDATA"
fi
# A volume's files are given to the pod's group with each mount, and Postgres starts with none that a group may write.
chmod 0700 "$PGDATA"
exec postgres -D "$PGDATA" -c listen_addresses='*'
