# usage: kubelet.sh FOLDER COMMAND…
# Runs a kubelet that finds the kernel's values as it wants them, whatever they are: it would set them for the whole machine.
set -eu
folder=$1
shift
mkdir -p "$folder"
mount --make-private /proc
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=$folder/$(echo "${setting%=*}" | tr / .)
  echo "${setting#*=}" > "$file"
  mount --bind "$file" "/proc/sys/${setting%=*}"
done
exec "$@"
