#!/bin/sh
# Becomes systemd in a copy of this machine: its file system under a layer in memory, into which all changes go.
# Run in namespaces of its own, by tests/support/debian_machine.py, with the socket to which systemd says that it has booted.
set -e
mount --make-rprivate /
mount -t tmpfs -o size=4g tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
# Nothing in it changes the kernel that the copy shares with the machine.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
: > etc/machine-id
# A container's image may forbid its packages to start services; this machine starts them.
rm -f usr/sbin/policy-rc.d
ip link set lo up
# Only what services need is booted.
mkdir -p etc/systemd/system
printf '[Unit]\nRequires=basic.target\nWants=systemd-journald.service\n' > etc/systemd/system/test.target
for unit in timers.target systemd-udevd.service systemd-sysctl.service systemd-modules-load.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-mqueue.mount dev-hugepages.mount; do
    ln -sf /dev/null "etc/systemd/system/$unit"
done
# Seen in the copy before the old root is left.
touch run/notify
mount --bind "$1" run/notify
# The layer itself, which tells what has changed.
mkdir run/changes
mount --bind /mnt/upper run/changes
pivot_root . mnt
umount -l /mnt
exec env -i container=test NOTIFY_SOCKET=/run/notify PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=test.target
