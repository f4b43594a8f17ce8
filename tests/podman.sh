#!/usr/bin/env bash
# Sees to it that the tests have a podman with a world of its own, where that is possible: installs it
# from Debian's packages, puts its settings, images and networks into one folder, and hands it the
# tests' base image. The settings of the machine, and a person's own podman, are left alone. Prints
# why the tests with podman will be skipped where it is not. Ends with 0 in both cases.
#
# The folder is that of TEST_PODMAN, by default ~/.cache/modelyard-podman. Its file `environment`,
# which the tests read, is written last. `bash tests/podman.sh --remove` takes it all away again.
set -uo pipefail
cd "$(dirname "$0")/.."

base=python:3.11-slim
home=${TEST_PODMAN:-${XDG_CACHE_HOME:-$HOME/.cache}/modelyard-podman}
# What must not outlive a restart of the machine lies where the system empties it.
run=${XDG_RUNTIME_DIR:-/run}/modelyard-podman-$(cksum <<<"$home" | cut -d' ' -f1)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

skip() { rm -f "$home/environment"; echo "podman: $1; the tests with podman are skipped"; exit 0; }
because() { tail -n 1 "$log"; }
installable() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
export CONTAINERS_CONF=$home/containers.conf CONTAINERS_STORAGE_CONF=$home/storage.conf

remove() {
  [ -f "$CONTAINERS_STORAGE_CONF" ] || return 0
  podman pod rm --all --force >/dev/null 2>&1
  podman rm --all --force >/dev/null 2>&1
  podman network prune --force >/dev/null 2>&1
  for place in "$home"/*/overlay "$home"/*/images; do mountpoint -q "$place" && umount "$place"; done
  rm -rf "$home" "$run"
}
[ "${1:-}" != --remove ] || { remove; exit 0; }

if ! command -v podman >/dev/null; then
  installable || skip "it is not installed, and only root on Debian could install it"
  echo "podman: installing it"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends podman catatonit runc \
    netavark aardvark-dns iptables; } >"$log" 2>&1 || skip "it could not be installed: $(because)"
fi

# Where the machine is a container itself no limit can be raised: neither above this shell's, nor above
# the 32,768 processes that podman gives itself.
limit() { # of what, how much at most
  local most
  most=$(ulimit "-H$1")
  { [ "$most" != unlimited ] && [ "$most" -lt "$2" ]; } || most=$2
  echo "$most:$most"
}
# Without systemd nobody else keeps control groups, events and the timers of health checks.
[ -d /run/systemd/system ] && managed=yes || managed=
configure() { # the storage's driver, the runtime
  mkdir -p "$home/networks" "$run" || return
  cat >"$CONTAINERS_CONF" <<END
[containers]
default_ulimits = ["nofile=$(limit n 1048576)", "nproc=$(limit u 32768)"]
log_driver = "k8s-file"
[engine]
runtime = "$2"
tmp_dir = "$run/libpod"
static_dir = "$home/$1/libpod"
volume_path = "$home/$1/volumes"
${managed:+#}cgroup_manager = "cgroupfs"
${managed:+#}events_logger = "file"
[network]
network_config_dir = "$home/networks"
END
  # A bridge of its own: containers of the machine's podman may be on podman0.
  cat >"$home/networks/podman.json" <<END
{"name": "podman", "id": "$(printf podman | sha256sum | cut -c1-64)", "driver": "bridge",
 "network_interface": "modelyard-tests", "created": "2024-01-01T00:00:00Z",
 "subnets": [{"subnet": "10.97.0.0/24", "gateway": "10.97.0.1"}], "ipv6_enabled": false,
 "internal": false, "dns_enabled": false, "ipam_options": {"driver": "host-local"}}
END
  cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "$1"
graphroot = "$home/$1"
rootless_storage_path = "$home/$1"
runroot = "$run/storage"
END
}
[ -n "$managed" ] || export DISABLE_HC_SYSTEMD=true

# As the tests will: a root of its own, limits, no network.
runs() { timeout 60 podman run --rm --network none --read-only --cap-drop ALL --memory 64m "$base" python3 -c ''; }
has_base() { podman image exists "$base"; }
fetch_base() {
  has_base && return
  if docker image inspect "$base" >/dev/null 2>&1; then
    docker save "$base" | podman load --quiet
  else
    command -v mmdebstrap >/dev/null || { installable && apt-get install -y -qq mmdebstrap; }
    ENGINE=podman timeout 400 bash tests/base_image.sh "$base"
  fi
}

for runtime in runc crun; do
  command -v "$runtime" >/dev/null || continue
  for driver in overlay vfs; do
    configure "$driver" "$runtime" || skip "$home cannot be written"
    { podman info && fetch_base && runs; } >"$log" 2>&1 || continue
    names="CONTAINERS_CONF CONTAINERS_STORAGE_CONF ${DISABLE_HC_SYSTEMD:+DISABLE_HC_SYSTEMD}"
    for name in $names; do echo "$name=${!name}"; done >"$home/environment"
    echo "podman: $(podman version --format '{{.Client.Version}}'), $runtime, $driver"
    exit 0
  done
done
skip "it runs no container here: $(because)"
