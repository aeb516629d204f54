# The properties of the target, and the state of what is deployed there. Nothing here changes anything.

inspect() {
  report uid "$(id -u)"
  report sudo "$(sudo -n true 2>/dev/null && echo yes)"
  report system "$(uname -s)"
  report machine "$(uname -m)"
  report bits "$(getconf LONG_BIT 2>/dev/null)"
  report packages "$(dpkg --print-architecture 2>/dev/null)"
  report glibc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
  report os "$(. /etc/os-release 2>/dev/null && printf %s "$PRETTY_NAME")"
  report board "$(tr -d '\000' </proc/device-tree/model 2>/dev/null)"
  report epoch_s "$(date +%s)"
  folder=$home
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  report free_kb "$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')"
  for tool in rsync flock; do
    command -v $tool >/dev/null || report missing $tool
  done
  for name in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do # until the first that fits
    path=$(command -v $name) || continue
    python=$("$path" -c '
import os, struct, sys
from importlib.util import find_spec
has = [name for name in ("venv", "picamera2") if find_spec(name)]
# The service has no access to home directories.
has += ["home"] if os.path.realpath(sys.executable).startswith(("/home/", "/root/", "/run/user/")) else []
print("%d.%d.%d" % sys.version_info[:3], struct.calcsize("P") * 8, ",".join(has) or "-", sys.executable)' 2>/dev/null) || continue
    report python "$python"
    case $python in 3.1[123].*home*) ;; 3.1[123].*venv*) break ;; esac
  done
  cameras=0
  for device in /dev/video*; do [ ! -e "$device" ] || cameras=$((cameras + 1)); done
  report video_devices $cameras
  [ ! -d /run/systemd/system ] || report systemd yes
  [ ! -e "$settings" ] || report settings "$settings"
  report current "$(current_release)"
}

# Which of these settings each settings file sets, whether its camera is an address, and the instance that it names. Other values
# stay here: some are passwords.
report_needs() { # python setting…
  python=$1
  shift
  "$python" -I -c '
import pathlib, re, sys, tomllib
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.toml")):
    if not file.is_file() or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", file.stem):
        continue  # of no instance
    try:
        settings = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        print("unreadable=" + file.stem)
        continue
    names = [name for name in sys.argv[2:] if settings.get(name)]
    names += ["network_camera"] if "://" in str(settings.get("camera", "")) else []
    print("needs=" + file.stem, ",".join(names))
    name = settings.get("name")
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", name):
        print("named=" + file.stem, name)' "$(dirname "$settings")" "$@"
}

report_status() {
  report current "$(current_release)"
  for folder in "$home"/releases/*; do
    [ ! -d "$folder" ] ||
      report release "$(basename "$folder") $([ -e "$folder/.complete" ] && echo complete || echo partial) $(date -r "$folder" +%s)"
  done
  [ ! -L "$home/current" ] || report previous "$(cat "$home/current/.previous/release" 2>/dev/null)"
  [ ! -d "$work/previous" ] || report unconfirmed yes
  report bundle "$(head -n 1 "$home/bundles/in-use" 2>/dev/null)"
  [ ! -e "$settings" ] || report own_bundle "$("$home/current/bin/python" -I -c '
import pathlib, sys, tomllib
bundle = tomllib.loads(pathlib.Path(sys.argv[1]).read_bytes().decode("utf-8-sig")).get("bundle", "")
print(bundle if isinstance(bundle, str) else "")' "$settings" 2>/dev/null)"
  report journal_kb "$(du -sk "$state" 2>/dev/null | cut -f 1)"
  report free_kb "$(df -Pk "$home" 2>/dev/null | awk 'NR == 2 { print $4 }')"
  if [ -d /run/systemd/system ]; then
    systemctl show --property ActiveState,SubState,UnitFileState,NRestarts "$unit" | sed 's/^/service./'
  fi
  [ ! -x "$home/current/bin/fer-edge" ] || report health "$("$home/current/bin/fer-edge" health --json --name "$instance" 2>/dev/null)"
}
