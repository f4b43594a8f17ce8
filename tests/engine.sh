#!/usr/bin/env bash
# Sees to it that a container engine answers and that the tests' base image is there, where that is
# possible: installs Docker from Debian's packages, starts one daemon, makes python:3.11-slim. Prints
# why the image tests will be skipped where it is not. Ends with 0 in both cases.
#
# The daemon's process is written to the file that ENGINE_PID names, if this script started it.
set -uo pipefail
cd "$(dirname "$0")/.."

skip() { echo "engine: $1; the tests that need a container engine are skipped"; exit 0; }
answers() { timeout 20 docker info >/dev/null 2>&1; }
installable() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
install() { apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1; }

if ! answers; then
  if ! command -v dockerd >/dev/null; then
    installable || skip "no container engine answers, and only root on Debian could install one"
    echo "engine: installing docker.io"
    install docker.io iptables || skip "docker.io could not be installed"
  fi
  # A second daemon would take the first one's network away: one that runs is given time instead.
  if pgrep -x dockerd >/dev/null; then
    echo "engine: waiting for the dockerd that runs"
  else
    [ "$(id -u)" = 0 ] || skip "dockerd does not run, and only root may start it"
    echo "engine: starting dockerd"
    log=$(mktemp)
    setsid nohup dockerd >"$log" 2>&1 </dev/null &
    [ -z "${ENGINE_PID:-}" ] || echo $! >"$ENGINE_PID"
  fi
  for _ in $(seq 60); do answers && break; sleep 0.5; done
  answers || skip "dockerd does not answer: $(tail -n 1 "${log:-/dev/null}")"
fi
docker image inspect python:3.11-slim >/dev/null 2>&1 && exit 0
if ! command -v mmdebstrap >/dev/null; then
  installable || skip "there is no image python:3.11-slim, and only root on Debian could make one"
  install mmdebstrap || skip "mmdebstrap could not be installed"
fi
timeout 400 bash tests/base_image.sh || skip "python:3.11-slim could not be made"
