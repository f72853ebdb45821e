#!/bin/sh
# Runs lintian from a folder of unpacked packages, as if they were installed. `unshare --mount sh lintian.sh FOLDER DEB`
set -e
mount -t tmpfs -o size=6g tmpfs /mnt || exit 77
mkdir /mnt/root /mnt/work
cp --archive "$1" /mnt/upper
cp "$2" /mnt/upper/
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root || exit 77
mount --rbind /proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev
mkdir /mnt/tmp
mount --bind /mnt/tmp /mnt/root/tmp
exec chroot /mnt/root env LC_ALL=C.UTF-8 lintian --allow-root --fail-on error,warning --suppress-tags mismatched-override "/$(basename "$2")"
