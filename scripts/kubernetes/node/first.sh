# The first process of a node: makes what it sees its own, and then only reaps.
set -eu
mount --make-rshared /
# Nothing of what a node writes at fixed places is to stay on this machine, or to meet that of another node.
for folder in /run /var/log /var/lib; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
hostname "$1"
touch "$2"
while :; do
  sleep 3600 &
  wait
done
