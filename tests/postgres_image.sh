#!/usr/bin/env bash
# Makes an image with PostgreSQL of Debian's packages, for machines that reach no image registry. It
# takes POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGDATA as the published image does, and keeps
# its data at /var/lib/postgresql/data. compose.yaml takes it by POSTGRES_IMAGE. An image that exists is
# left alone.
#
# Needs root, mmdebstrap and an engine (docker, or the program that ENGINE names).
set -euo pipefail
engine=${ENGINE:-docker}
image=${1:-modelyard-test/postgres:15}
suite=bookworm

if "$engine" image inspect "$image" >/dev/null 2>&1; then exit 0; fi
echo "postgres image: making $image from Debian's packages"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/entrypoint" <<'ENTRYPOINT'
#!/bin/sh
set -eu
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
data=${PGDATA:-/var/lib/postgresql/data}
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$data" /run/postgresql
  chown postgres:postgres "$data" /run/postgresql
  chmod 700 "$data"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$data/PG_VERSION" ]; then
  [ -n "${POSTGRES_PASSWORD:-}" ] || { echo "set POSTGRES_PASSWORD: a new database needs one" >&2; exit 1; }
  word=$(mktemp)
  printf '%s' "$POSTGRES_PASSWORD" >"$word"
  initdb -D "$data" -U "$user" -A scram-sha-256 --pwfile "$word" -E UTF8 --locale C.UTF-8
  rm -f "$word"
  echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
  if [ "$database" != postgres ]; then
    pg_ctl -D "$data" -w -o "-c listen_addresses=" start
    PGPASSWORD=$POSTGRES_PASSWORD createdb -U "$user" "$database"
    pg_ctl -D "$data" -w -m fast stop
  fi
fi
exec postgres -D "$data" -c listen_addresses='*' "$@"
ENTRYPOINT

mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/bitcode/*' \
  --essential-hook='mkdir -p "$1/etc/postgresql-common"' \
  --essential-hook='echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"' \
  --include=postgresql-15 \
  --customize-hook="install -m 755 $work/entrypoint \"\$1/usr/local/bin/entrypoint\"" \
  --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*' \
  "$suite" "$work/base.tar"
"$engine" import \
  --change 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENTRYPOINT ["entrypoint"]' --change 'EXPOSE 5432' \
  --change 'VOLUME /var/lib/postgresql/data' "$work/base.tar" "$image" >/dev/null
