# What `fer-edge deploy` does on the target: a function a step, each of which may be repeated after any interruption.
# The sender puts before it, quoted: home settings state runtime unit instance token; and after it one call.
#
#   $home/releases/VERSION-HASH/   an environment, whole once it holds .whole; .before is what it took over from
#   $home/current                  a link to one of them, changed by one rename
#   $home/.deploy/                 what a deploy needs until it is finished; `before` stands for as long as one is unproved

umask 022
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
trap '' PIPE # a step that has begun is ended, though its listener is gone
work=$home/.deploy ship=$home/.deploy/ship
units=/etc/systemd/system

tell() { printf '%s=%s\n' "$1" "$(printf %s "$2" | head -n 1)"; }
refuse() {
  printf '%s\n' "$*" >&2
  exit 3
}

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

current() { [ ! -L "$home/current" ] || basename "$(readlink "$home/current")"; }

# One step at a time: one whose connection was lost may still be at work.
alone() {
  exec 9>>"$work/step"
  flock -w 900 9 || refuse "a step of an earlier deploy is still at work on the target; try again when it is done"
}

# ... and only for the deploy that came last.
mine() {
  [ -d "$work" ] || refuse "the deploy's folder $work is gone; run it again"
  alone
  [ "$(cat "$work/token" 2>/dev/null)" = "$token" ] || refuse "another deploy has begun since; this one was stopped"
}

take() {
  mkdir -p "$home/releases"
  mkdir -p "$work"
  chmod 700 "$work" # settings may hold passwords
  chmod 755 "$home" "$home/releases"
  alone
  printf '%s\n' "$token" >"$work/token.new"
  mv -f "$work/token.new" "$work/token"
  for at in "$home"/releases/*; do # of an install that was cut off
    [ ! -d "$at" ] || [ -e "$at/.whole" ] || rm -rf "$at"
  done
  rm -rf "$home"/.current.* "$work/before.new" "$work/proof" "$work/tmp"
  mkdir -p "$ship" "$work/tmp"
  [ ! -e "$home/releases/$1/.whole" ] || tell whole yes
  [ ! -d "$work/before" ] || tell unproved yes
}

environment() { # release python site-packages-of-the-system?
  mine
  at=$home/releases/$1
  if [ -e "$at/.whole" ]; then
    tell whole yes
    return
  fi
  rm -rf "$at"
  "$2" -m venv --without-pip ${3:+--system-site-packages} "$at" >"$work/log" 2>&1 || failed "$work/log"
}

install() { # release extras constraints-file? offline?
  mine
  at=$home/releases/$1
  if [ -e "$at/.whole" ]; then
    tell whole yes
    return
  fi
  set -- "$at" "$2" ${3:+--constraint "$ship/$3"} ${4:+--no-index --find-links "$ship/wheels"}
  extras=$2
  shift 2
  pip=$(echo "$ship"/pip-*.whl) wheel=$(echo "$ship"/fer_edge-*.whl)
  # No cache and no /tmp: the one would fill the card, the other may be in memory.
  TMPDIR=$work/tmp PYTHONPATH=$pip "$at/bin/python" -m pip --disable-pip-version-check --no-input install \
    --no-cache-dir --progress-bar off "$@" "$pip" "$wheel$extras" >"$work/log" 2>&1 9>&- || failed "$work/log"
  sync
  : >"$at/.whole"
  sync
}

failed() { # log exit-code?
  tail -n 12 "$1" >&2
  exit "${2:-1}"
}

bundle() { # release folder?
  mine
  program=$home/releases/$1/bin/fer-edge
  mkdir -p "$home/detectors" "$home/bundles"
  for file in "$ship"/detectors/*; do
    name=$(basename "$file")
    cmp -s "$file" "$home/detectors/$name" && continue
    cp "$file" "$home/detectors/.$name.new"
    chmod 644 "$home/detectors/.$name.new"
    mv -f "$home/detectors/.$name.new" "$home/detectors/$name"
  done
  rm -rf "$work/proof"
  mkdir "$work/proof" # what the doctor takes for the bundles' folder: the same ones, the new one in use
  ln -s "$home/bundles/releases" "$work/proof/releases"
  if [ -n "$2" ]; then
    name=$("$program" bundle install "$ship/$2" --bundles "$home/bundles" 2>"$work/log" 9>&-) || failed "$work/log" 5
    printf '%s\n' "$name" >"$work/proof/in-use"
    tell bundle "$name"
  elif [ -e "$home/bundles/in-use" ]; then
    cp "$home/bundles/in-use" "$work/proof/in-use"
  fi
}

doctor() { # release new-settings?
  mine
  set -- "$home/releases/$1/bin/fer-edge" "$([ -z "$2" ] && echo "$settings" || echo "$ship/settings.toml")"
  program=$1 config=$2
  set --
  [ ! -e "$config" ] || set -- --config "$config"
  FER_EDGE_BUNDLES=$work/proof FER_EDGE_DETECTORS=$home/detectors STATE_DIRECTORY=$state RUNTIME_DIRECTORY=$runtime \
    CONFIGURATION_DIRECTORY=$(dirname "$settings") \
    "$program" doctor --json --first-run --name "$instance" "$@" 2>"$work/log" 9>&- || :
  [ -s "$work/log" ] && tail -n 1 "$work/log" >&2
  true
}

put() { # file where mode
  mkdir -p "$(dirname "$2")"
  cp "$1" "$2.new"
  chmod "$3" "$2.new"
  [ "$3" != 640 ] || chgrp fer-edge "$2.new" 2>/dev/null || :
  mv -f "$2.new" "$2"
}

point() { # to the release; one rename
  rm -f "$home/.current.new"
  ln -s "releases/$1" "$home/.current.new"
  mv -fT "$home/.current.new" "$home/current"
}

switch() { # release bundle? new-settings? network?
  mine
  at=$home/releases/$1 file=$(unit_file)
  set -- "$1" "$2" "$3" ${4:+--network}
  release=$1 bundle=$2 new=$3
  shift 3
  case $file in *@.service) set -- "$@" --template ;; esac
  "$at/bin/fer-edge" service show --program "$home/current/bin/fer-edge" "$@" >"$work/unit" 2>"$work/log" 9>&- ||
    failed "$work/log"
  if [ ! -d "$work/before" ]; then
    if [ "$(current)" = "$release" ] && cmp -s "$work/unit" "$file" &&
      { [ -z "$bundle" ] || [ "$(head -n 1 "$home/bundles/in-use" 2>/dev/null)" = "$bundle" ]; } &&
      { [ -z "$new" ] || cmp -s "$ship/settings.toml" "$settings"; }; then
      tell unchanged yes
      return
    fi
    remember "$work/before"
  fi
  # The release first: a new one reads what an old one wrote, and not the other way round.
  [ "$(current)" = "$release" ] || point "$release"
  touch "$at/.whole" # its age is its place among the releases
  [ -z "$bundle" ] || "$at/bin/fer-edge" bundle use "$bundle" --bundles "$home/bundles" >/dev/null 2>"$work/log" 9>&- ||
    failed "$work/log"
  "$at/bin/fer-edge" service install --program "$home/current/bin/fer-edge" "$@" >/dev/null 2>"$work/log" 9>&- ||
    failed "$work/log"
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers /etc/sysusers.d/fer-edge.conf >"$work/log" 2>&1 9>&- || failed "$work/log"
  fi
  if [ -n "$new" ]; then
    put "$ship/settings.toml" "$settings" 640
    grep -qsxF "$settings" "$work/settings" || printf '%s\n' "$settings" >>"$work/settings"
  fi
  sync
}

unit_file() {
  case $unit in
  *@*) echo "$units/${unit%%@*}@.service" ;;
  *) echo "$units/$unit" ;;
  esac
}

remember() { # what serves now, in a folder that appears whole
  rm -rf "$1.new"
  mkdir -p "$1.new"
  current >"$1.new/release"
  printf '%s\n' "$instance" >"$1.new/instance"
  printf '%s\n' "$unit" >"$1.new/unit-name"
  printf '%s\n' "$settings" >"$1.new/settings-name"
  [ ! -e "$home/bundles/in-use" ] || cp -p "$home/bundles/in-use" "$1.new/in-use"
  [ ! -e "$settings" ] || cp -p "$settings" "$1.new/settings"
  [ ! -e "$(unit_file)" ] || cp -p "$(unit_file)" "$1.new/unit"
  [ ! -d /run/systemd/system ] || ! systemctl --quiet is-enabled "$unit" 9>&- 2>/dev/null || : >"$1.new/served"
  sync
  mv -T "$1.new" "$1"
}

start() { # whether something changed
  mine
  if [ ! -d /run/systemd/system ]; then
    tell systemd no
    return
  fi
  if [ -z "$1" ] && [ ! -d "$work/before" ] && systemctl --quiet is-active "$unit" 9>&-; then
    tell kept yes
    return
  fi
  restart "$(cat "$work/before/release" 2>/dev/null || :)"
}

restart() { # the release before
  systemctl daemon-reload 9>&-
  systemctl --quiet enable "$unit" 9>&- >&2 || refuse "systemctl could not enable $unit"
  systemctl reset-failed "$unit" 9>&- 2>/dev/null || :
  systemctl stop "$unit" 9>&- || :
  : >"$work/started"
  systemctl start "$unit" 9>&- 2>/dev/null || : # how it went, its log says better
  [ "$1" = "$(current)" ] || others
}

others() { # instances of the same program, which would go on with the old one
  for other in $(running); do
    [ "$other" = "$unit" ] || systemctl try-restart "$other" 9>&- || :
  done
}

running() { systemctl list-units --plain --no-legend --state=active 'fer-edge.service' 'fer-edge@*.service' | awk '{ print $1 }'; }

# The first line of the journal that the service writes since its start; or that it waits for its camera; or why not.
first_line() { # thirds of a second to wait for
  mine
  status=$runtime/$instance.status.json turn=0
  while [ $turn -lt "$1" ]; do
    active=$(systemctl is-active "$unit" || :)
    again=$(systemctl show --property NRestarts --value "$unit")
    case $active:${again:-0} in failed:* | inactive:* | *:[1-9]*) break ;; esac
    if [ "$status" -nt "$work/started" ]; then
      said=$(tr -d '\n' 2>/dev/null <"$status" || :)
      journal=$(printf %s "$said" | sed -n 's/.*"journal": *"\([^"]*\)".*/\1/p')
      for line in $(find "$journal" -maxdepth 1 -name 'journal-*.jsonl' -newer "$work/started" -size +0c 2>/dev/null | sort | tail -n 1); do
        tell segment "$line"
        tell line "$line: $(head -c 300 "$line")"
        return
      done
      case $said in *'"state": "waiting"'*)
        tell waiting "$(printf %s "$said" | sed -n 's/.*"camera": *"\([^"]*\)".*/\1/p')"
        return
        ;;
      esac
    fi
    turn=$((turn + 1))
    sleep 0.3
  done
  why
  exit 4
}

why() {
  printf 'the service is %s after %s restarts\n' "${active:-unknown}" "${again:-0}" >&2
  journalctl --unit "$unit" --since "@$(date -r "$work/started" +%s)" --output cat --lines 12 --no-pager >&2 2>/dev/null || :
}

restore() { # the folder of what served before
  from=$1 was=$(current)
  release=$(cat "$from/release") unit=$(cat "$from/unit-name") settings=$(cat "$from/settings-name") # maybe of another camera
  systemd=
  [ ! -d /run/systemd/system ] || systemd=yes
  if [ -n "$release" ]; then
    [ -e "$home/releases/$release/.whole" ] || refuse "the release before, $release, is not there any more"
    point "$release"
  fi
  back "$from/in-use" "$home/bundles/in-use" 644
  back "$from/settings" "$settings" 640
  [ -n "$release" ] || rm -f "$home/current"
  if [ ! -e "$from/served" ]; then # it did not serve before: it shall not be tried again and again
    [ -z "$systemd" ] || systemctl disable --now "$unit" 9>&- 2>/dev/null || :
    tell stopped yes
  fi
  back "$from/unit" "$(unit_file)" 644
  [ -z "$systemd" ] || systemctl daemon-reload 9>&-
  if [ -n "$systemd" ] && [ -n "$release" ]; then
    if [ -e "$from/served" ]; then restart "$was"; elif [ "$was" != "$release" ]; then others; fi
  fi
  sync
  tell release "$release"
  tell instance "$(cat "$from/instance")"
}

back() { if [ -e "$1" ]; then put "$1" "$2" "$3"; else rm -f "$2"; fi; }

undo() { # a switch that did not prove itself
  mine
  if [ ! -d "$work/before" ]; then
    tell nothing yes
    return
  fi
  restore "$work/before"
  rm -rf "$work/before"
}

rollback() { # to what served before the last deploy; once begun, it goes on to the same
  mine
  if [ ! -d "$work/back" ]; then
    from=$home/releases/$(current)/.before
    [ ! -d "$work/before" ] || from=$work/before
    [ -s "$from/release" ] && [ -n "$(cat "$from/release")" ] || refuse "there is no release before this one to go back to"
    rm -rf "$work/back.new"
    cp -a "$from" "$work/back.new"
    mv -T "$work/back.new" "$work/back"
    rm -rf "$work/before"
  fi
  restore "$work/back"
}

finish() { # how many releases to keep
  mine
  at=$home/releases/$(current)
  if [ -d "$work/before" ]; then
    rm -rf "$at/.before"
    mv -T "$work/before" "$at/.before"
  fi
  before=$(cat "$at/.before/release" 2>/dev/null || :)
  kept=0
  for release in $(cd "$home/releases" && ls -dt ./*/.whole 2>/dev/null); do
    release=$(basename "${release%/.whole}") kept=$((kept + 1))
    [ $kept -le "$1" ] || [ "$home/releases/$release" = "$at" ] || [ "$release" = "$before" ] || {
      rm -rf "${home:?}/releases/$release"
      tell removed "$release"
    }
  done
  rm -rf "$ship" "$work/proof" "$work/tmp" "$work/back" "$work/log" "$work/unit" "$work/started"
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

undeploy() { # the journal too?
  if [ -d "$work" ]; then alone; fi
  if [ -d /run/systemd/system ]; then
    for at in $(running) "$unit"; do systemctl disable --now "$at" 9>&- 2>/dev/null || :; done
  fi
  rm -f "$units/fer-edge.service" "$units/fer-edge@.service" /etc/sysusers.d/fer-edge.conf
  [ ! -d /run/systemd/system ] || systemctl daemon-reload 9>&-
  while read -r file; do rm -f "$file"; done <"$work/settings" 2>/dev/null || :
  rmdir "$(dirname "$settings")" 2>/dev/null || :
  rm -rf "$runtime" "$home/current" "$home/releases" "$home/bundles" "$home/detectors"
  if [ -n "$1" ]; then
    rm -rf "$state"
    ! id fer-edge >/dev/null 2>&1 || userdel fer-edge >/dev/null 2>&1 || refuse "the user fer-edge could not be removed"
  elif [ -d "$state" ]; then
    tell journal "$state"
  fi
  for file in "$(dirname "$settings")"/*; do [ ! -e "$file" ] || tell left "$file"; done
  rm -rf "$work"
  rmdir "$home" 2>/dev/null || [ ! -d "$home" ] || tell left "$home"
}
