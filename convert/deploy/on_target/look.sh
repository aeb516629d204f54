# What the target is, and how what was deployed to it does. Nothing here changes anything.

look() {
  tell uid "$(id -u)"
  tell sudo "$(sudo -n true 2>/dev/null && echo yes)"
  tell system "$(uname -s)"
  tell machine "$(uname -m)"
  tell bits "$(getconf LONG_BIT 2>/dev/null)"
  tell packages "$(dpkg --print-architecture 2>/dev/null)"
  tell glibc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
  tell os "$(. /etc/os-release 2>/dev/null && printf %s "$PRETTY_NAME")"
  tell board "$(tr -d '\000' </proc/device-tree/model 2>/dev/null)"
  tell epoch_s "$(date +%s)"
  at=$home
  while [ ! -d "$at" ]; do at=$(dirname "$at"); done
  tell free_kb "$(df -Pk "$at" | awk 'NR == 2 { print $4 }')"
  for tool in rsync flock; do
    command -v $tool >/dev/null || tell lacks $tool
  done
  for name in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do # the first that fits
    path=$(command -v $name) || continue
    said=$("$path" -c '
import os, struct, sys
from importlib.util import find_spec
has = [name for name in ("venv", "picamera2") if find_spec(name)]
# The service sees nobody\x27s home.
has += ["home"] if os.path.realpath(sys.executable).startswith(("/home/", "/root/", "/run/user/")) else []
print("%d.%d.%d" % sys.version_info[:3], struct.calcsize("P") * 8, ",".join(has) or "-", sys.executable)' 2>/dev/null) || continue
    tell python "$said"
    case $said in 3.1[123].*home*) ;; 3.1[123].*venv*) break ;; esac
  done
  cameras=0
  for device in /dev/video*; do [ ! -e "$device" ] || cameras=$((cameras + 1)); done
  tell videos $cameras
  [ ! -d /run/systemd/system ] || tell systemd yes
  [ ! -e "$settings" ] || tell settings "$settings"
  tell current "$(current)"
}

state() {
  tell current "$(current)"
  for at in "$home"/releases/*; do
    [ ! -d "$at" ] || tell release "$(basename "$at") $([ -e "$at/.whole" ] && echo whole || echo part) $(date -r "$at" +%s)"
  done
  [ ! -L "$home/current" ] || tell before "$(cat "$home/current/.before/release" 2>/dev/null)"
  [ ! -d "$work/before" ] || tell unproved yes
  tell bundle "$(head -n 1 "$home/bundles/in-use" 2>/dev/null)"
  tell journal_kb "$(du -sk "$state" 2>/dev/null | cut -f 1)"
  tell free_kb "$(df -Pk "$home" 2>/dev/null | awk 'NR == 2 { print $4 }')"
  if [ -d /run/systemd/system ]; then
    systemctl show --property ActiveState,SubState,UnitFileState,NRestarts "$unit" | sed 's/^/service./'
  fi
  [ ! -x "$home/current/bin/fer-edge" ] || tell health "$("$home/current/bin/fer-edge" health --json --name "$instance" 2>/dev/null)"
}
