#!/bin/sh
# A systemd of its own, over a copy of this machine's files that is in memory and gone at the end:
#   unshare --mount --pid --ipc --uts --net --cgroup --fork --kill-child sh boot.sh FOLDER SHARE PYTHON SITE REPOSITORY
# It starts check.service out of SHARE, which both sides see.
set -e
memory=$1 share=$2 python=$3 site=$4 repository=$5
mount --make-rprivate /
mount -t tmpfs -o size=400m none "$memory"
cd "$memory"
mkdir up work root
mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root
cd root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if grep -q ' /sys/fs/cgroup cgroup2 ' /proc/mounts; then mount -t cgroup2 none sys/fs/cgroup; else mount -t tmpfs none sys/fs/cgroup; fi
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=755 none dev
for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 none dev/shm
mknod -m 666 dev/kmsg-of-test c 1 11
mkdir -p srv/python srv/site srv/repository mnt/share
mount --bind "$python" srv/python
mount --bind "$site" srv/site
mount --bind "$repository" srv/repository
mount --bind "$share" mnt/share
# Of the machine's own services none is started: nothing but the one under test.
rm -rf lib/systemd/system/*.target.wants usr/lib/systemd/system/*.target.wants etc/systemd/system/*.wants
cp mnt/share/check.service etc/systemd/system/
exec chroot . /usr/bin/env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=check.service
