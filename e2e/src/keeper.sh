# Makes a node's namespaces, keeps them while standard input is open, and removes all that the node left.
# Whoever started this may die in whatever way: standard input ends, and with the first process of the namespace all others do.
set -eu
directory=$1 place=$2 prefix=$3 services=$4 pods=$5 init=$6

clear() {
    ip link delete "$place" 2>/dev/null || true
    ip netns delete "$place" 2>/dev/null || true
    find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$place" | while read -r group; do
        find "$group" -depth -type d -exec rmdir {} + || true
    done
}

end() {
    clear
    # What stays is for whoever asks why.
    find "$directory" -xdev -mindepth 1 -depth ! -name '*.log' -delete 2>/dev/null || true
}

network() {
    ip netns add "$place"
    ip link add "$place" type veth peer name uplink netns "$place"
    ip address add "$prefix.254/24" dev "$place"
    ip link set "$place" up
    inside="ip -netns $place"
    $inside link set lo up
    $inside link add node type bridge
    $inside address add "$prefix.1/24" dev node
    $inside link set uplink master node
    $inside link set uplink up
    $inside link set node up
    $inside route add default via "$prefix.254"
    ip route add "$services" via "$prefix.1"
    ip route add "$pods" via "$prefix.1"
    nsenter --net="/run/netns/$place" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

# The kubelet's own part of the tree: it kills what it does not know there.
groups() {
    for group in /sys/fs/cgroup /sys/fs/cgroup/*/; do
        if [ -e "$group/cgroup.procs" ]; then mkdir -p "$group/$place"; fi
    done
}

clear
trap end EXIT
network
groups
nsenter --net="/run/netns/$place" unshare --mount --pid --fork --kill-child sh -c "$init" init "$directory"
