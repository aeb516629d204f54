#!/bin/sh
# The first process of a machine whose power will be cut: checks the journal of the run before, then runs the loop, whose
# lines also appear on the console. /mnt is a disk with the checkout's packages; systemd is not started.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 FER_EDGE_RUNTIME=/run/fer-edge
export PYTHONPATH=/mnt/code:/opt/vm/site PYTHONPYCACHEPREFIX=/var/cache/pycache
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/fer-edge /dev/shm
mount -t tmpfs tmpfs /dev/shm
cd /root || exit 1
if [ -d /root/cut ]; then
    tail -n 2 "$(ls /root/cut/*.jsonl | tail -n 1)" | sed 's/^/VM on disk /'
    echo
    python3 -m fer_edge log check --json /root/cut | sed 's/^/VM check /'
    python3 -m fer_edge log check /root/cut >/dev/null 2>&1
    echo "VM check exit $?"
fi
printf 'sync_s = %s\nper_frame = true\nwidth_px = 320\nheight_px = 240\nfps = 4.0\n' "$(cat /mnt/sync_s)" >/run/settings.toml
python3 -m fer_edge run --camera synthetic --config /run/settings.toml --bundle nano --detector haar --json --log /root/cut
echo "VM run ended with $?"
sleep 1000000
