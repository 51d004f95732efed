#!/bin/bash
# usage: host.sh EMULATOR GUEST FOLDER SHARED MEMORY
# Runs a virtual machine by software emulation, in namespaces of its own. EMULATOR is the root with qemu, GUEST that of
# the machine, which may change it for itself alone, and reads SHARED. All of it ends with this process.
set -eu
inside='
set -eu
emulator=$1 guest=$2 folder=$3 shared=$4
mkdir -p "$folder"/{upper,work,emulator,emulator-upper,emulator-work,data}
mount -t overlay overlay -o "lowerdir=$emulator,upperdir=$folder/emulator-upper,workdir=$folder/emulator-work" "$folder/emulator"
new=$folder/emulator
mkdir -p "$new/machine" "$new/guest" "$new/shared" "$new/old"
mount --bind "$folder" "$new/machine"
mount -t overlay overlay -o "lowerdir=$guest,upperdir=$folder/upper,workdir=$folder/work" "$new/guest"
mount --bind "$shared" "$new/shared"
mount -t proc proc "$new/proc"
mount -t tmpfs -o mode=755 dev "$new/dev"
for device in null:1:3 zero:1:5 random:1:8 urandom:1:9; do
  IFS=: read -r path major minor <<< "$device"
  mknod -m 666 "$new/dev/$path" c "$major" "$minor"
done
mkdir "$new/dev/shm"
mount -t tmpfs -o mode=1777 shm "$new/dev/shm"
cd "$new"
pivot_root . old
umount -l /old
# Nothing of this machine is reached but what is passed on below.
ip link set lo up
exec tini -s -- bash -c "$RUN" machine "$5"
'
export RUN='
set -eu
chroot /guest useradd --create-home --shell /bin/sh eng
# Podman notes in there which folder of /run was its own.
rm -f /machine/data/podman/db.sql*
truncate --size 8G /machine/disk
mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=1 -d /machine/data /machine/disk
serve() {
  path=$1 socket=$2
  shift 2
  /usr/libexec/virtiofsd --sandbox none --inode-file-handles=never --shared-dir "$path" --socket-path "$socket" "$@" &
  while [ ! -S "$socket" ]; do
    kill -0 $!
    sleep 0.1
  done
}
# Capabilities of files and what overlays say of files are attributes that only privileged processes may set.
serve /guest /root.sock --cache always --xattr --modcaps=+sys_admin
# The user of a rootless engine sees these files as its own.
serve /shared /shared.sock --cache auto --readonly --translate-uid map:1000:0:1 --translate-gid map:1000:0:1
# Each direction may end long before the other: the input of a program, for example.
socat -t 86400 "UNIX-LISTEN:/machine/socket/engine.sock,fork" TCP:127.0.0.1:2375 &
# Without what costs time under emulation: guards against holes in processors, and features whose instructions are slow.
quiet="mitigations=off pti=off nosmap nosmep nokaslr audit=0 init_on_alloc=0 randomize_kstack_offset=off nowatchdog no_timer_check"
masked="systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket"
masked="$masked tmp.mount dev-hugepages.mount systemd-journal-flush.service docker.socket"
masked="$masked sys-kernel-debug.mount sys-kernel-tracing.mount modprobe@drm.service modprobe@efi_pstore.service"
masked="$masked modprobe@configfs.service kmod-static-nodes.service systemd-random-seed.service systemd-sysusers.service"
exec qemu-system-x86_64 -M q35 -accel tcg,thread=multi,tb-size=1024 -cpu max,la57=off -smp 2 -m "$1" \
  -object "memory-backend-memfd,id=memory,size=$1,share=on" -numa node,memdev=memory \
  -kernel /guest/boot/vmlinuz-* \
  -append "rootfstype=virtiofs root=guest rw console=ttyS0 net.ifnames=0 preempt=none $quiet apparmor=0 selinux=0 \
    systemd.unit=glovebox.target systemd.journald.forward_to_console=1 systemd.journald.max_level_console=notice ${masked:+$(printf "systemd.mask=%s " $masked)}" \
  -nodefaults -no-user-config -display none -serial file:/machine/console -no-reboot \
  -chardev socket,id=guest,path=/root.sock -device vhost-user-fs-pci,chardev=guest,tag=guest,queue-size=1024 \
  -chardev socket,id=shared,path=/shared.sock -device vhost-user-fs-pci,chardev=shared,tag=shared \
  -drive file=/machine/disk,if=none,id=disk,format=raw,cache=unsafe -device virtio-blk-pci,drive=disk \
  -netdev user,id=network,restrict=on,hostfwd=tcp:127.0.0.1:2375-:2375 \
  -device virtio-net-pci,netdev=network,romfile= -device virtio-rng-pci
'
exec setpriv --pdeathsig KILL nice -n 5 unshare --mount --net --ipc --uts --pid --fork --kill-child --propagation private \
  bash -c "$inside" glovebox-machine "$@"
