#!/usr/bin/env bash
# Makes the base image of the tests, python:3.11-slim, from Debian's packages: for machines that
# reach no image registry. The name is the published image's, so that the project's Dockerfile
# builds unchanged. An image that exists is left alone.
#
# Needs root, mmdebstrap and an engine (docker, or the program that ENGINE names).
set -euo pipefail
engine=${ENGINE:-docker}
image=${1:-python:3.11-slim}
suite=bookworm

if "$engine" image inspect "$image" >/dev/null 2>&1; then exit 0; fi
echo "base image: making $image from Debian's packages"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Left out: what the published slim images leave out too (documents, perl's modules, apt's lists).
mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --include=python3,python3-venv,python3-pip,ca-certificates,netbase,tzdata \
  --customize-hook='chroot "$1" apt-get -qq -y install usr-is-merged usrmerge- >/dev/null' \
  --customize-hook='chroot "$1" apt-get -qq -y purge libperl5.36 perl-modules-5.36 >/dev/null' \
  --customize-hook='chroot "$1" apt-get -qq -y autoremove --purge >/dev/null' \
  --customize-hook='ln -sf /usr/bin/python3.11 "$1/usr/local/bin/python3"' \
  --customize-hook='ln -sf python3 "$1/usr/local/bin/python"' \
  --customize-hook='rm -f "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED' \
  --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*' \
  "$suite" "$work/base.tar"
"$engine" import \
  --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'CMD ["python3"]' "$work/base.tar" "$image" >/dev/null
