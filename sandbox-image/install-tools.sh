#!/bin/sh
# Installs packages of Debian or Ubuntu, and gathers in a folder all files that this has made or changed, for another
# stage to copy. Without apt, or without its mirrors, the folder stays empty: the image works without them.
# usage: install-tools.sh LIST FOLDER ACCESS
set -eu
list=$1 folder=$2 access=$(cd "$3" && pwd)
# On a line of its own: the engine colours what was written on stderr before.
without() { printf '\nWITHOUT TOOLS: %s\n' "$1"; exit 0; }

mkdir -p "$folder"
wanted=
for package in $(sed 's/#.*//' "$list"); do
    dpkg-query --show --showformat='${Status}\n' "$package" 2>/dev/null | grep -qx 'install ok installed' \
        || wanted="$wanted $package"
done
[ -n "$wanted" ] || exit 0
command -v apt-get > /dev/null || without 'the base image has no apt'

# Manuals, fonts beside the image's own, what only a screen needs, and what draws on 3D cards, which libGL looks for by
# name: half of all bytes.
lean=/etc/dpkg/dpkg.cfg.d/glovebox
mkdir -p /etc/dpkg/dpkg.cfg.d
for path in '/usr/share/man/*' '/usr/share/doc/*' '/usr/share/info/*' '/usr/share/locale/*' '/usr/share/lintian/*' '*.pod' \
    '/usr/share/fonts/*' '/usr/share/X11/*' '/usr/share/icons/*' '/usr/share/bash-completion/*' \
    '/usr/share/zsh/*' '/usr/lib/*/perl/*/CORE/*.h' '/usr/lib/*/libLLVM*' '/usr/lib/*/libgallium*' '/usr/lib/*/libz3.so*' \
    '/usr/lib/*/dri/*' '/usr/lib/*/libflite_cmu_time_awb*'; do
    echo "path-exclude=$path"
done > $lean
echo 'path-include=/usr/share/doc/*/copyright' >> $lean

cat /etc/ssl/certs/ca-certificates.crt "$access/ca.crt" > "$folder.crt" 2>/dev/null || cp "$access/ca.crt" "$folder.crt"
cat "$access/apt.conf" > "$folder.conf"
[ ! -s "$folder.crt" ] || echo "Acquire::https::CAInfo \"$folder.crt\";" >> "$folder.conf"
export APT_CONFIG="$folder.conf" DEBIAN_FRONTEND=noninteractive
apt() {
    apt-get -q -o Acquire::Retries=3 -o APT::Update::Error-Mode=any -o APT::Sandbox::User=root "$@"
}

release=$(. /etc/os-release && echo "${VERSION_CODENAME:-none}")
of_host="-o Dir::Etc::SourceList=$access/sources.list -o Dir::Etc::SourceParts=/dev/null"
sources=
# The host's mirrors, if they have the release of the base, else those that the base names.
if grep -q " $release " "$access/sources.list" && apt $of_host update; then
    sources=$of_host
else
    apt update || without 'apt reached no mirror with packages of the base image'
fi
touch "$folder.stamp"
apt $sources install --yes --no-install-recommends $wanted || without 'apt could not install them'
# Its tables of types are for desktops, but a package does not install without them.
rm -rf /usr/share/mime
ldconfig

# The database of packages is among them, so that it says what the image has.
find / -xdev \( -path "$folder*" -o -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /fetch \
    -o -path /var/cache -o -path /var/lib/apt/lists -o -path /var/log -o -path '/var/lib/dpkg/*-old' -o -path $lean \
    -o -path /etc/resolv.conf -o -path /etc/hosts -o -path /etc/hostname -o -name '*.dpkg-new' \) -prune \
    -o -cnewer "$folder.stamp" -print0 \
    | tar --create --null --no-recursion --files-from=- --file=- | tar --extract --directory="$folder" --file=- \
        --preserve-permissions
