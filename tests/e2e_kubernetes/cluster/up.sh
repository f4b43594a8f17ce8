#!/usr/bin/env bash
# A single-node Kubernetes from Go modules and Debian's packages, for machines that can get none
# ready-made: etcd, the control plane, kubelet, kube-proxy, containerd, in a network namespace of
# their own, so that nothing else on the machine sees them.
#
#   up.sh            start (the first time it compiles Kubernetes: 10 to 30 minutes on two cores)
#   up.sh down       end everything and remove what it made
#   up.sh run CMD…   run a command with KUBECONFIG set, and E2E_LOAD for `make e2e-kubernetes`
#
# Needs root, Go, docker, and Debian's etcd-server containerd runc containernetworking-plugins
# iptables conntrack. Nothing outside this machine is spoken to but the Go module proxy, once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
state=${CLUSTER_STATE:-/var/tmp/modelyard-cluster}
space=modelyard-cluster
node=10.250.0.1
api=https://$node:16443
token=modelyard-test
version=$(sed -n 's/^require k8s.io\/kubernetes //p;s/^\tk8s.io\/kubernetes //p' "$here/go.mod" | head -1)

inside() { nsenter --net="/run/netns/$space" "$@"; }

start() { # NAME COMMAND…: in the background, its process and its log kept
  local name=$1; shift
  nsenter --net="/run/netns/$space" "$@" >"$state/log/$name.log" 2>&1 &
  echo $! >"$state/pid/$name"
}

down() {
  if [ -e "$state/kubeconfig" ] && [ -e "$state/pid/containerd" ]; then
    inside ctr -a "$state/containerd.sock" -n k8s.io tasks ls -q 2>/dev/null | while read -r task; do
      inside ctr -a "$state/containerd.sock" -n k8s.io tasks kill -s KILL "$task" 2>/dev/null || true
    done
  fi
  for name in kubelet kube-proxy kube-scheduler kube-controller-manager dns kube-apiserver etcd containerd; do
    [ -e "$state/pid/$name" ] && kill "$(cat "$state/pid/$name")" 2>/dev/null || true
  done
  sleep 2
  # Shims outlive containerd on purpose; these are the ones of our own socket.
  pgrep -f "containerd-shim.* -address $state/containerd.sock" | xargs -r kill 2>/dev/null || true
  sleep 1
  grep -o " $state/[^ ]*" /proc/mounts | sort -r | xargs -r -n1 umount -l 2>/dev/null || true
  ip netns del "$space" 2>/dev/null || true
  ip link del modelyard0 2>/dev/null || true
  rm -rf "$state/etcd" "$state/containerd" "$state/run" "$state/kubelet" "$state/pid" "$state/kubeconfig"
}

case ${1:-up} in
  down) down; exit 0 ;;
  run)
    shift
    export KUBECONFIG=$state/kubeconfig
    export E2E_LOAD="ctr -a $state/containerd.sock -n k8s.io images import -"
    exec "$@"
    ;;
esac

mkdir -p "$state"/{bin,log,pid,etcd,run,cni,kubelet,certs}
if [ ! -x "$state/bin/cluster" ]; then
  echo "compiling Kubernetes $version"
  (cd "$here" && CGO_ENABLED=0 GOFLAGS=-mod=mod go build -ldflags "-s -w \
     -X k8s.io/component-base/version.gitVersion=$version \
     -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(echo "$version" | cut -d. -f2)" \
     -o "$state/bin/cluster" .)
fi
if [ ! -x "$state/bin/pause" ]; then
  (cd "$here" && CGO_ENABLED=0 GOFLAGS=-mod=mod go build -ldflags "-s -w" -o "$state/bin/pause" ./pause)
fi
down
mkdir -p "$state"/{pid,etcd,run,kubelet,kubelet/plugins}

ip netns add "$space"
inside ip link set lo up
inside ip link add node0 type bridge
inside ip addr add $node/24 dev node0
inside ip link set node0 up
# A wire to this machine, so that it reaches the API server; pods reach nothing through it.
ip link add modelyard0 type veth peer name up0 netns "$space"
ip addr add 10.250.1.1/30 dev modelyard0
ip link set modelyard0 up
inside ip addr add 10.250.1.2/30 dev up0
inside ip link set up0 up
ip route replace $node/32 via 10.250.1.2
inside ip route add default dev node0   # kube-proxy and kubelet ask for one; nothing answers there
inside sysctl -q net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1

[ -e "$state/certs/sa.key" ] || openssl genrsa -out "$state/certs/sa.key" 2048 2>/dev/null
openssl rsa -in "$state/certs/sa.key" -pubout -out "$state/certs/sa.pub" 2>/dev/null
echo "$token,admin,admin,system:masters" >"$state/certs/tokens.csv"
cat >"$state/kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: modelyard-test
clusters: [{name: local, cluster: {server: "$api", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: $token}}]
contexts: [{name: modelyard-test, context: {cluster: local, user: admin}}]
END

cat >"$state/containerd.toml" <<END
version = 2
root = "$state/containerd"
state = "$state/run"
[grpc]
  address = "$state/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "modelyard.test/pause:1"
  # A machine that lends no CAP_SYS_RESOURCE lets nobody lower that score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"
END
cat >"$state/cni/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.251.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$state/run/ipam"}}]}
END
cat >"$state/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
address: $node
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
clusterDNS: [$node]
clusterDomain: cluster.local
resolvConf: ""
containerRuntimeEndpoint: unix://$state/containerd.sock
evictionHard: {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"}
imageGCHighThresholdPercent: 100
serverTLSBootstrap: false
END

start etcd etcd --data-dir "$state/etcd" --listen-client-urls http://$node:2379 \
  --advertise-client-urls http://$node:2379 --listen-peer-urls http://$node:2380 --unsafe-no-fsync
start containerd containerd -c "$state/containerd.toml"
start kube-apiserver "$state/bin/cluster" kube-apiserver --etcd-servers http://$node:2379 \
  --bind-address $node --secure-port 16443 --advertise-address $node --cert-dir "$state/certs" \
  --token-auth-file "$state/certs/tokens.csv" --authorization-mode Node,RBAC \
  --service-account-issuer https://kubernetes.default.svc \
  --service-account-signing-key-file "$state/certs/sa.key" \
  --service-account-key-file "$state/certs/sa.pub" \
  --service-cluster-ip-range 10.252.0.0/16 --allow-privileged \
  --kubelet-preferred-address-types InternalIP
for _ in $(seq 120); do
  inside curl -ksf -H "Authorization: Bearer $token" $api/readyz >/dev/null && break; sleep 1
done
start kube-controller-manager "$state/bin/cluster" kube-controller-manager \
  --kubeconfig "$state/kubeconfig" --service-account-private-key-file "$state/certs/sa.key" \
  --use-service-account-credentials=false --leader-elect=false --cert-dir "$state/certs"
start kube-scheduler "$state/bin/cluster" kube-scheduler --kubeconfig "$state/kubeconfig" \
  --leader-elect=false --cert-dir "$state/certs"

docker build -q -t modelyard.test/pause:1 -f - "$state/bin" >/dev/null <<END
FROM scratch
COPY pause /pause
ENTRYPOINT ["/pause"]
END
docker save modelyard.test/pause:1 | ctr -a "$state/containerd.sock" -n k8s.io images import - >/dev/null
start kubelet "$state/bin/cluster" kubelet --config "$state/kubelet.yaml" \
  --kubeconfig "$state/kubeconfig" --root-dir "$state/kubelet" --cert-dir "$state/certs" \
  --hostname-override node-1 --node-ip $node
start kube-proxy "$state/bin/cluster" kube-proxy --kubeconfig "$state/kubeconfig" \
  --proxy-mode iptables --hostname-override node-1 --cluster-cidr 10.251.0.0/24 \
  --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0
start dns python3 "$here/dns.py" $node $api $token

for _ in $(seq 120); do
  inside curl -ksf -H "Authorization: Bearer $token" $api/api/v1/nodes/node-1 2>/dev/null |
    tr -d ' \n' | grep -q '"type":"Ready","status":"True"\|"status":"True"[^}]*"type":"Ready"' && ready=1 && break
  sleep 1
done
[ "${ready:-}" ] || { echo "the node did not become ready: $state/log"; exit 1; }
echo "KUBECONFIG=$state/kubeconfig   or: $0 run make e2e-kubernetes"
