#!/bin/sh
# A target for deploys: this machine's files under an overlay in memory that is gone at the end, with an sshd in it:
#   unshare --mount --pid --ipc --fork --kill-child sh target.sh FOLDER SHARE
# What SHARE holds lies in /mnt/share there: sshd_config, keys, and bin/, which is first on the path.
set -e
memory=$1 share=$2
mount --make-rprivate /
mount -t tmpfs -o size=4g none "$memory"
cd "$memory"
mkdir up work root
mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root
cd root
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=1777 none tmp
mkdir -p run/sshd run/systemd/system mnt/share
mount --bind "$share" mnt/share
mount -t tmpfs -o mode=755 none opt
mkdir opt/fer-edge
mount -t tmpfs -o mode=755,size=1900m none opt/fer-edge # a disk that can be filled
rm -rf etc/fer-edge var/lib/fer-edge etc/systemd/system/fer-edge* root/.cache/fer-edge root/.config/pip
chroot . useradd -m -p '*' -s /bin/bash pi # as Raspberry Pi OS has its first user
chroot . useradd -m -p '*' -s /bin/bash someone
echo 'pi ALL=(ALL) NOPASSWD: ALL' >etc/sudoers.d/pi
echo 'Defaults secure_path="/mnt/share/bin:/usr/sbin:/usr/bin:/sbin:/bin"' >etc/sudoers.d/path
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin /usr/sbin/sshd -D -e -f /mnt/share/sshd_config
