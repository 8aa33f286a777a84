# The first process in a node's namespaces: hides the machine's folders behind the node's own, and ends with standard input.
set -eu
directory=$1
# From the /proc of outside, where this process has its outer number.
read -r stat </proc/self/stat

mount --make-rshared /
mount -t proc proc /proc
for folder in /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /run/containerd; do
    mkdir -p "$folder" "$directory/root$folder"
    mount --bind "$directory/root$folder" "$folder"
done
# The kubelet sets these for the whole machine: let it set copies.
mkdir "$directory/sysctl"
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    copy=$directory/sysctl/$(basename "$setting")
    cat "/proc/sys/$setting" >"$copy"
    mount --bind "$copy" "/proc/sys/$setting"
done

echo "$stat" >"$directory/init.part"
mv "$directory/init.part" "$directory/init"
# A shell that waits also reaps the processes that were left to it.
exec 3<&0
cat <&3 >/dev/null &
wait $!
