#!/bin/sh
# Runs as root in the booted system: installs the service as a person would, and writes down what becomes of it.
cd /mnt/share
fer_edge=/opt/fer-edge/current/bin/fer-edge
show() { systemctl show "$1" -p ActiveState,SubState,Result,NRestarts,MainPID,StatusText,ExecMainStatus; }
until_true() { n=0; until eval "$1"; do n=$((n + 1)); [ $n -gt 600 ] && return 1; sleep 0.2; done; }

for program in $fer_edge /home/me/fer/bin/fer-edge; do
    mkdir -p "$(dirname $program)"
    cp program.sh $program
done
touch /tmp/of-everybody /home/me/private
chmod 700 /home/me/private
readlink /proc/self/ns/uts >uts
$fer_edge service install --program $fer_edge 2>said-install >installed
$fer_edge service install --template --program /home/me/fer/bin/fer-edge >>installed 2>/dev/null
mkdir -p /etc/fer-edge /etc/systemd/system/fer-edge.service.d /etc/systemd/system/fer-edge@.service.d
cp fer-edge.toml /etc/fer-edge/
cp door.toml /etc/fer-edge/
cp -r broken /etc/fer-edge/
cp watched.conf /etc/systemd/system/fer-edge.service.d/
cp watched.conf /etc/systemd/system/fer-edge@.service.d/
systemd-sysusers && systemctl daemon-reload
systemctl start fer-edge.service; echo $? >start
show fer-edge.service >started
cat /sys/fs/cgroup/pids/system.slice/fer-edge.service/pids.max /sys/fs/cgroup/system.slice/fer-edge.service/pids.max >pids 2>/dev/null
cat /sys/fs/cgroup/memory/system.slice/fer-edge.service/memory.limit_in_bytes /sys/fs/cgroup/system.slice/fer-edge.service/memory.max >memory 2>/dev/null
systemctl start fer-edge@door.service; echo $? >start-door
setpriv --reuid=65534 --regid=65534 --clear-groups $fer_edge health --json >health 2>said-health; echo $? >health-code
setpriv --reuid=65534 --regid=65534 --clear-groups ls /var/lib/fer-edge >stranger 2>&1
systemctl reload fer-edge.service; echo $? >reload
$fer_edge bundle install /srv/repository/models/nano >release 2>said-bundle
$fer_edge bundle use nano- >>release 2>>said-bundle
kill -KILL "$(systemctl show -P MainPID fer-edge.service)"
until_true '[ "$(systemctl show -P NRestarts fer-edge.service)" = 1 ] && [ "$(systemctl show -P ActiveState fer-edge.service)" = active ]'
show fer-edge.service >restarted
systemctl show fer-edge@door.service -p ActiveState,Result,NRestarts,ExecMainStatus >door
$fer_edge doctor --json >doctor 2>said-doctor
systemctl stop fer-edge.service
show fer-edge.service >stopped
(cd / && stat -c '%A %U:%G %n' /var/lib/fer-edge /run/fer-edge /etc/fer-edge /opt/fer-edge/bundles/in-use /var/lib/fer-edge/* /run/fer-edge/*) >modes 2>/dev/null
cp -r /var/lib/fer-edge state
chmod -R a+rX state
touch done
