# Creates a node's namespaces, keeps them while standard input is open, and then removes everything that the node left.
# When the parent process ends, for whatever reason, standard input closes, the init process of the PID namespace ends, and the
# kernel kills all other processes in it.
set -eu
directory=$1 node=$2 address=$3 gateway=$4 length=$5 services=$6 pods=$7 init=$8

clean_up() {
    ip link delete "$node" 2>/dev/null || true
    ip netns delete "$node" 2>/dev/null || true
    find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$node" | while read -r group; do
        find "$group" -depth -type d -exec rmdir {} + || true
    done
}

finish() {
    clean_up
    # The logs stay, to explain failures.
    find "$directory" -xdev -mindepth 1 -depth ! -name '*.log' -delete 2>/dev/null || true
}

network() {
    # An IPv6 address could not be used for a second, until nobody else has claimed it.
    case $address in *:*) at_once=nodad forwarding=ipv6/conf/all/forwarding ;; *) at_once='' forwarding=ipv4/ip_forward ;; esac
    ip netns add "$node"
    ip link add "$node" type veth peer name uplink netns "$node"
    ip address add "$gateway/$length" dev "$node" $at_once
    ip link set "$node" up
    inside="ip -netns $node"
    $inside link set lo up
    $inside link add node type bridge
    $inside address add "$address/$length" dev node $at_once
    $inside link set uplink master node
    $inside link set uplink up
    $inside link set node up
    $inside route add default via "$gateway"
    ip route add "$services" via "$address"
    ip route add "$pods" via "$address"
    nsenter --net="/run/netns/$node" sh -c "echo 1 >/proc/sys/net/$forwarding"
}

# A control group for the kubelet alone, because it kills processes that it does not know in its group.
groups() {
    for group in /sys/fs/cgroup /sys/fs/cgroup/*/; do
        if [ -e "$group/cgroup.procs" ]; then mkdir -p "$group/$node"; fi
    done
}

clean_up
trap finish EXIT
network
groups
nsenter --net="/run/netns/$node" unshare --mount --pid --fork --kill-child sh -c "$init" init "$directory"
