#!/bin/sh
# Becomes the first process of an arm64 system: run by userspace.py in user, mount and process namespaces of its own.
#   sh enter.sh QEMU ROOT MOUNTED [UPPER WORK DOWNLOADS]
# With UPPER what is written goes there, what pip fetches to DOWNLOADS, and ROOT stays as it was. The kernel starts arm64
# programs with QEMU in these namespaces alone (Linux 6.7 and later: a register of such formats for each user namespace).
# They end with stdin, so that they never outlive who made them.
set -e
qemu=$1 root=$2 mounted=$3 upper=$4 work=$5 downloads=$6
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount --make-rprivate /
if [ -n "$upper" ]; then
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$upper,workdir=$work,userxattr" "$mounted"
    mkdir -p "$mounted/home/pi/.cache/pip"
    chown -R 1000:1000 "$mounted/home/pi/.cache"
    mount --bind "$downloads" "$mounted/home/pi/.cache/pip"
else
    mount --bind "$root" "$mounted"
fi
cd "$mounted"
mkdir -p proc sys dev run tmp mnt/before
chmod 1777 tmp
mount -t proc none proc
mount --rbind /sys sys
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=755 none dev
for node in null zero full random urandom tty; do
    touch dev/$node
    mount --bind /dev/$node dev/$node
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 none dev/shm
mount -t devpts -o newinstance,ptmxmode=666 none dev/pts
ln -s pts/ptmx dev/ptmx
mkdir -p run/lock run/sshd
mount -t binfmt_misc none proc/sys/fs/binfmt_misc
# F: this very file, wherever it can be seen from; C: a program that sets its user, such as sudo, may
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":qemu-aarch64:M::$magic:$mask:$qemu:POCF" >proc/sys/fs/binfmt_misc/register
pivot_root . mnt/before
exec chroot . /bin/sh -c 'umount -l /mnt/before; echo entered; read -r _'
