#!/bin/bash
# usage: enter.sh ROOT FOLDER NAME SHARED COMMAND…
# Runs COMMAND as a service in namespaces and control groups of its own. It sees ROOT, whose files it may change for
# itself alone, and FOLDER and SHARED as they are. $PREPARE is run there before. All of it ends with this process.
set -eu
root=$1 folder=$2 name=$3
mkdir -p "$folder"/upper "$folder"/work "$folder"/root "$folder"/data "$folder"/socket

# A control group for all that the engine makes, so that it is gone with the run, and bounded where the engine sets no
# limits. Hybrid hosts have an empty version 2 beside version 1: crun refuses those, so it is left out inside.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  echo 'Control groups of version 2 are not provided for yet.' >&2
  exit 1
fi
for group in /sys/fs/cgroup/*/; do
  group=${group%/}
  [ -e "$group/cgroup.procs" ] && [ ! -e "$group/cgroup.controllers" ] || continue
  all=$group/glovebox-engines
  mkdir -p "$all"
  if [ -e "$group/cpuset.cpus" ]; then
    echo 1 > "$all/cgroup.clone_children"
    cat "$group/cpuset.cpus" > "$all/cpuset.cpus"
    cat "$group/cpuset.mems" > "$all/cpuset.mems"
  fi
  mkdir -p "$all/$name"
  [ ! -e "$all/$name/memory.limit_in_bytes" ] || echo 8G > "$all/$name/memory.limit_in_bytes"
  [ ! -e "$all/$name/pids.max" ] || echo 8000 > "$all/$name/pids.max"
  echo $$ > "$all/$name/cgroup.procs"
done

inside='
set -eu
root=$1 folder=$2 name=$3 shared=$4
shift 4
new=$folder/root
mount -t overlay overlay -o "lowerdir=$root,upperdir=$folder/upper,workdir=$folder/work" "$new"
mount -t proc proc "$new/proc"
mount -t sysfs sysfs "$new/sys"
mount -t tmpfs -o mode=755 cgroup "$new/sys/fs/cgroup"
for group in /sys/fs/cgroup/*/; do
  group=${group%/}
  [ -d "$group/glovebox-engines/$name" ] || continue
  mkdir "$new$group"
  mount --bind "$group/glovebox-engines/$name" "$new$group"
done
mount -o remount,ro "$new/sys/fs/cgroup"
# Devices of its own: crun makes those that a container gets as its standard streams the property of its user.
mount -t tmpfs -o mode=755 dev "$new/dev"
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229; do
  IFS=: read -r path major minor <<< "$device"
  mknod -m 666 "$new/dev/$path" c "$major" "$minor"
done
mkdir "$new/dev/pts" "$new/dev/shm" "$new/dev/mqueue" "$new/dev/net"
mknod -m 666 "$new/dev/net/tun" c 10 200
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$new/dev/pts"
ln -s pts/ptmx "$new/dev/ptmx"
ln -s /proc/self/fd "$new/dev/fd"
mount -t tmpfs -o mode=1777 shm "$new/dev/shm"
mount -t mqueue mqueue "$new/dev/mqueue"
for path in "$shared" "$folder"; do
  mkdir -p "$new$path"
  mount --bind "$path" "$new$path"
done
# Where the engine keeps its data: remapped users must reach it, and may not pass the folders above.
mkdir "$new/engine"
mount --bind "$folder/data" "$new/engine"
mount -t tmpfs -o mode=755 run "$new/run"
mkdir -p "$new/old"
cd "$new"
# Not chroot, in which the kernel refuses user namespaces.
pivot_root . old
umount -l /old
ip link set lo up
rm -f /etc/resolv.conf
echo nameserver 10.0.2.3 > /etc/resolv.conf
eval "${PREPARE:-}"
exec tini -s -- "$@"
'
exec setpriv --pdeathsig KILL unshare --mount --net --ipc --uts --cgroup --pid --fork --kill-child --propagation private \
  bash -c "$inside" glovebox-engine "$root" "$folder" "$name" "${@:4}"
