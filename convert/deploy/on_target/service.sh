# What serves: changed, started, watched until its first line, brought back, taken away.

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
    if [ "$(current)" = "$release" ] && cmp -s "$work/unit" "$file" && [ -z "$(other_detectors)" ] &&
      { [ -z "$bundle" ] || [ "$(head -n 1 "$home/bundles/in-use" 2>/dev/null)" = "$bundle" ]; } &&
      { [ -z "$new" ] || cmp -s "$ship/settings.toml" "$settings"; }; then
      tell unchanged yes
      return
    fi
    remember "$work/before"
  fi
  # The release first: a new one reads what an old one wrote, and not the other way round.
  [ "$(current)" = "$release" ] || point "$release"
  for name in $(other_detectors); do put "$ship/detectors/$name" "$home/detectors/$name" 644; done
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

other_detectors() { # names of those that are new or not the same
  for file in "$ship"/detectors/*; do
    cmp -s "$file" "$home/detectors/${file##*/}" || echo "${file##*/}"
  done
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
  mkdir "$1.new/detectors"
  for name in $(other_detectors); do
    [ ! -e "$home/detectors/$name" ] || cp -p "$home/detectors/$name" "$1.new/detectors"
  done
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

# The first line of the journal that the service writes since its start, and whether it waits for its camera; or why not.
first_line() { # thirds of a second to wait for
  mine
  status=$runtime/$instance.status.json turn=0
  while [ $turn -lt "$1" ]; do
    active=$(systemctl is-active "$unit" || :)
    again=$(systemctl show --property NRestarts --value "$unit")
    case $active:${again:-0} in failed:* | inactive:* | *:[1-9]*) break ;; esac
    if [ "$status" -nt "$work/started" ]; then # of this start
      said=$(tr -d '\n' 2>/dev/null <"$status" || :)
      journal=$(printf %s "$said" | sed -n 's/.*"journal": *"\([^"]*\)".*/\1/p')
      case $said in *'"state": "starting"'*) journal= ;; esac # in a moment it knows whether it has a camera
      for line in $([ -z "$journal" ] || find "$journal" -maxdepth 1 -name 'journal-*.jsonl' -newer "$work/started" -size +0c 2>/dev/null | sort | tail -n 1); do
        tell line "$line: $(head -c 300 "$line")"
        case $said in *'"state": "waiting"'*)
          tell waiting "$(printf %s "$said" | sed -n 's/.*"camera": *"\([^"]*\)".*/\1/p')"
          ;;
        esac
        return
      done
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
  for file in "$from"/detectors/*; do [ ! -e "$file" ] || put "$file" "$home/detectors/${file##*/}" 644; done
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
    [ -n "$(cat "$from/release" 2>/dev/null || :)" ] || refuse "there is no release before this one to go back to"
    rm -rf "$work/back.new"
    cp -a "$from" "$work/back.new"
    current >"$work/back.new/was"
    mv -T "$work/back.new" "$work/back"
    rm -rf "$work/before"
  fi
  restore "$work/back"
}

finish() { # how many releases to keep
  mine
  at=$home/releases/$(current)
  if [ -d "$work/before" ]; then
    # Of one release there may have been several settings: each knows the one before it, some steps back.
    [ "$(cat "$work/before/release")" != "$(current)" ] || [ ! -d "$at/.before" ] || mv -T "$at/.before" "$work/before/.before"
    rm -rf "$work/before/.before/.before/.before/.before" "$at/.before"
    mv -T "$work/before" "$at/.before"
  elif [ -d "$work/back" ] && [ "$(cat "$work/back/was")" = "$(current)" ]; then
    rm -rf "$at/.before"
    [ ! -d "$work/back/.before" ] || mv -T "$work/back/.before" "$at/.before"
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
