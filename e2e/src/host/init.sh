# The init process of a node's namespaces: mounts the node's folders over the machine's, and ends when standard input closes.
set -eu
directory=$1
# Read before /proc is mounted again: here this process still has the PID by which the machine knows it.
read -r stat </proc/self/stat

mount --make-rshared /
mount -t proc proc /proc
for folder in /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /run/containerd; do
    mkdir -p "$folder" "$directory/root$folder"
    mount --bind "$directory/root$folder" "$folder"
done
# The kubelet changes these settings of the whole machine, so it gets copies of them.
mkdir "$directory/sysctl"
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    copy=$directory/sysctl/$(basename "$setting")
    cat "/proc/sys/$setting" >"$copy"
    mount --bind "$copy" "/proc/sys/$setting"
done

echo "$stat" >"$directory/init.part"
mv "$directory/init.part" "$directory/init"
# While the shell waits, it also reaps orphaned processes.
exec 3<&0
cat <&3 >/dev/null &
wait $!
