# The service: changed, started, waited for until its first journal line, restored, removed.

switch_release() { # release bundle? settings-sha256? network? detectors
  lock_for_this_deploy
  differences=$(list_differences "$@")
  if [ -z "$differences" ]; then
    report unchanged yes
    return
  fi
  release=$1 bundle=$2 new_settings=$3 folder=$home/releases/$1 detectors=$5
  [ -d "$work/previous" ] || save_state "$work/previous"
  # The release first: a new one can read what an old one wrote, but not the reverse.
  [ "$(current_release)" = "$release" ] || link_current "$release"
  for name in $(changed_detectors); do install_file "$payload/detectors/$name" "$home/detectors/$name" 644; done
  touch "$folder/.complete" # its time decides which releases are the oldest
  [ -z "$bundle" ] || "$folder/bin/fer-edge" bundle use "$bundle" --bundles "$home/bundles" >/dev/null 2>"$work/log" 9>&- ||
    fail_with_log "$work/log"
  call_service_command install "$release" "$4" >/dev/null 2>"$work/log" 9>&- || fail_with_log "$work/log"
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers /etc/sysusers.d/fer-edge.conf >"$work/log" 2>&1 9>&- || fail_with_log "$work/log"
  fi
  if [ -n "$new_settings" ]; then
    install_settings "$payload/settings.toml"
  elif lacks_settings; then
    install_settings /dev/null
  fi
  sync
}

install_settings() { # file
  install_file "$1" "$settings" 640
  grep -qsxF "$settings" "$work/settings" || printf '%s\n' "$settings" >>"$work/settings" # for undeploy
}

lacks_settings() { # the unit of several cameras names a file of each, and does not start without it
  case $unit in *@*) [ ! -e "$settings" ] ;; *) false ;; esac
}

call_service_command() { # show|install release network?
  program=$home/releases/$2/bin/fer-edge
  set -- "$1" "$3"
  case $unit in *@*) set -- "$@" --template ;; esac
  "$program" service "$1" --program "$home/current/bin/fer-edge" ${2:+--network} ${3:+--template}
}

# The parts of the current state that differ from what a deploy is to make current, a word each. Nothing is changed.
list_differences() { # release bundle? settings-sha256? network? detectors
  detectors=$5
  [ ! -d "$work/previous" ] || echo unconfirmed
  [ "$(current_release)" = "$1" ] || echo release
  [ -z "$(changed_detectors)" ] || echo detectors
  [ -z "$2" ] || [ "$(head -n 1 "$home/bundles/in-use" 2>/dev/null)" = "$2" ] || echo bundle
  [ -z "$3" ] || [ "$(sha256sum 2>/dev/null <"$settings" | cut -d ' ' -f 1)" = "$3" ] || echo settings
  [ -n "$3" ] || ! lacks_settings || echo settings
  [ ! -e "$home/releases/$1/.complete" ] || # only an installed release knows its unit
    [ "$(call_service_command show "$1" "$4" 2>/dev/null 9>&-)" = "$(cat "$(unit_file)" 2>/dev/null)" ] || echo unit
}

report_differences() { # number-of-releases-to-keep, then the arguments of list_differences
  reject_unconfirmed_other
  keep=$1
  shift
  for part in $(list_differences "$@"); do report differs "$part"; done
  [ ! -d /run/systemd/system ] || systemctl --quiet is-active "$unit" || report differs service
  [ "$(current_release)" != "$1" ] || for release in $(list_old_releases "$keep"); do report removed "$release"; done
}

changed_detectors() { # names of the files that are new or different; $detectors has lines of sha256sum
  printf '%s\n' "$detectors" | while read -r digest name; do
    [ "$digest" = "$(sha256sum 2>/dev/null <"$home/detectors/$name" | cut -d ' ' -f 1)" ] || echo "$name"
  done
}

save_state() { # folder, which appears complete
  rm -rf "$1.new"
  mkdir -p "$1.new"
  current_release >"$1.new/release"
  printf '%s\n' "$instance" >"$1.new/instance"
  printf '%s\n' "$unit" >"$1.new/unit-name"
  printf '%s\n' "$settings" >"$1.new/settings-name"
  [ ! -e "$home/bundles/in-use" ] || cp -p "$home/bundles/in-use" "$1.new/in-use"
  [ ! -e "$settings" ] || cp -p "$settings" "$1.new/settings"
  [ ! -e "$(unit_file)" ] || cp -p "$(unit_file)" "$1.new/unit"
  [ ! -d /run/systemd/system ] || ! systemctl --quiet is-enabled "$unit" 9>&- 2>/dev/null || : >"$1.new/enabled"
  [ ! -d /run/systemd/system ] || active_units >"$1.new/active"
  mkdir "$1.new/detectors"
  for name in $(changed_detectors); do
    [ ! -e "$home/detectors/$name" ] || cp -p "$home/detectors/$name" "$1.new/detectors"
  done
  sync
  mv -T "$1.new" "$1"
}

start_service() { # changed?
  lock_for_this_deploy
  if [ ! -d /run/systemd/system ]; then
    report systemd no
    return
  fi
  if [ -z "$1" ] && [ ! -d "$work/previous" ] && systemctl --quiet is-active "$unit" 9>&-; then
    report running yes
    return
  fi
  rm -f "$work"/started-*
  restart_service "$(saved_in_use "$work/previous")" "$(units_before "$work/previous")"
}

restart_service() { # what-the-others-run-with (as of in_use) units
  systemctl daemon-reload 9>&-
  systemctl --quiet enable "$unit" 9>&- >&2 || reject "systemctl could not enable $unit"
  systemctl reset-failed "$unit" 9>&- 2>/dev/null || :
  systemctl stop "$unit" 9>&- || :
  : >"$work/started"
  systemctl start "$unit" 9>&- 2>/dev/null || : # its log is a better report of the result
  [ "$1" = "$(in_use)" ] || restart_other_instances "$2"
}

in_use() { # the release and the bundle, which all instances share
  printf '%s %s\n' "$(current_release)" "$(head -n 1 "$home/bundles/in-use" 2>/dev/null || :)"
}

saved_in_use() { # folder of save_state; without one, nothing was changed
  [ -d "$1" ] || { in_use && return; }
  [ ! -e "$1/restoring" ] || { echo unknown && return; } # it was interrupted: the others may run with either
  printf '%s %s\n' "$(cat "$1/release")" "$(head -n 1 "$1/in-use" 2>/dev/null || :)"
}

# Reports the first journal line that the service wrote since its start, and the camera that it waits for, if it does.
wait_first_line() { # for so many thirds of a second
  lock_for_this_deploy
  status=$runtime/$instance.status.json turn=0
  while [ $turn -lt "$1" ]; do
    active=$(systemctl is-active "$unit" || :)
    restarts=$(systemctl show --property NRestarts --value "$unit")
    case $active:${restarts:-0} in failed:* | inactive:* | *:[1-9]*) break ;; esac
    if [ "$status" -nt "$work/started" ]; then # written since this start
      content=$(as_service head -c 65536 "$status" 2>/dev/null | tr -d '\n')
      journal=$(printf %s "$content" | sed -n 's/.*"journal": *"\([^"]*\)".*/\1/p')
      case $content in *'"state": "starting"'*) journal= ;; esac # it does not know yet whether it has a camera
      case $journal in /*) ;; *) journal= ;; esac # anything else would be an option
      segment=
      [ -z "$journal" ] || segment=$(as_service find "$journal" -maxdepth 1 -type f -name 'journal-*.jsonl' \
        -newermt "@$(date -r "$work/started" +%s.%N)" -size +0c 2>/dev/null | sort | tail -n 1)
      if [ -n "$segment" ]; then
        report line "$segment: $(as_service head -c 300 "$segment")"
        case $content in *'"state": "waiting"'*)
          report waiting "$(printf %s "$content" | sed -n 's/.*"camera": *"\([^"]*\)".*/\1/p')"
          ;;
        esac
        return
      fi
    fi
    turn=$((turn + 1))
    sleep 0.3
  done
  printf 'the service is %s after %s restarts\n' "${active:-unknown}" "${restarts:-0}" >&2
  print_service_log "$unit" "$work/started"
  exit 4
}

print_service_log() { # unit file-of-the-start's-time
  journalctl --unit "$1" --since "@$(date -r "$2" +%s)" --output cat --lines 12 --no-pager >&2 2>/dev/null || :
}

require_release() { # release
  [ -e "$home/releases/$1/.complete" ] || reject "the previous release, $1, does not exist any more"
}

restore_state() { # folder of save_state
  from=$1
  if [ -e "$from/restoring" ]; then replaced=unknown; else replaced=$(in_use); fi
  # On a full disk it must succeed too: files replace files, and what was sent can be sent again.
  [ "$(df -Pk "$home" | awk 'NR == 2 { print $4 }')" -gt 20000 ] || rm -rf "$payload" "$work/tmp" "$work/doctor-bundles"
  rm -f "$work"/started-*
  release=$(cat "$from/release") unit=$(cat "$from/unit-name") settings=$(cat "$from/settings-name") # maybe of another instance
  systemd=
  [ ! -d /run/systemd/system ] || systemd=yes
  [ -z "$release" ] || require_release "$release"
  : >"$from/restoring"
  # The release last: a new one can read what an old one wrote, but not the reverse.
  restore_file "$from/settings" "$settings" 640
  restore_file "$from/in-use" "$home/bundles/in-use" 644
  for file in "$from"/detectors/*; do [ ! -e "$file" ] || install_file "$file" "$home/detectors/${file##*/}" 644; done
  if [ -n "$release" ]; then link_current "$release"; else rm -f "$home/current"; fi
  if [ ! -e "$from/enabled" ]; then # the service was not enabled before: systemd shall not restart it again and again
    [ -z "$systemd" ] || systemctl disable --now "$unit" 9>&- 2>/dev/null || :
    report stopped yes
  fi
  restore_file "$from/unit" "$(unit_file)" 644
  [ -z "$systemd" ] || systemctl daemon-reload 9>&-
  if [ -n "$systemd" ] && [ -n "$release" ]; then
    if [ -e "$from/enabled" ]; then
      restart_service "$replaced" "$(units_before "$from")"
    elif [ "$replaced" != "$(in_use)" ]; then
      restart_other_instances "$(units_before "$from")"
    fi
  fi
  sync
  report release "$release"
  report instance "$(cat "$from/instance")"
}

undo_switch() { # of a release that did not come up
  lock_for_this_deploy
  if [ ! -d "$work/previous" ]; then
    report unchanged yes
    return
  fi
  restore_state "$work/previous"
  rm -rf "$work/previous"
}

find_rollback() { # the folder of the state that a rollback restores; that of an interrupted one, if there is one
  from=$home/releases/$(current_release)/.previous
  [ ! -d "$work/previous" ] || from=$work/previous
  [ ! -d "$work/rollback" ] || from=$work/rollback
  release=$(cat "$from/release" 2>/dev/null || :)
  [ -n "$release" ] || reject "there is no release before this one to go back to"
  require_release "$release"
  echo "$from"
}

report_rollback() { # release-to-leave?
  if [ -n "$1" ] && [ "$1" != "$(cat "$work/rollback/replaced" 2>/dev/null || current_release)" ]; then
    report unchanged yes
    return
  fi
  from=$(find_rollback)
  report release "$(cat "$from/release")"
  report instance "$(cat "$from/instance")"
}

roll_back() { # to the state before the last deploy; repeated after an interruption, it restores the same state
  lock_for_this_deploy
  from=$(find_rollback)
  if [ ! -d "$work/rollback" ]; then
    rm -rf "$work/rollback.new"
    cp -a "$from" "$work/rollback.new"
    current_release >"$work/rollback.new/replaced"
    [ "$from" = "$work/previous" ] || rm -f "$work/rollback.new/restoring"
    # Of an interrupted deploy, those that it stopped count too; after a completed one, only those that run now.
    [ "$from" = "$work/previous" ] || [ ! -d /run/systemd/system ] || active_units >"$work/rollback.new/active"
    mv -T "$work/rollback.new" "$work/rollback"
    rm -rf "$work/previous"
  fi
  restore_state "$work/rollback"
}

list_old_releases() { # number-to-keep: all others, but not the one in use and the one before it
  current=$(current_release) count=0
  previous=$(cat "$home/releases/$current/.previous/release" 2>/dev/null || :)
  for release in $(cd "$home/releases" 2>/dev/null && ls -dt ./*/.complete 2>/dev/null); do
    release=$(basename "${release%/.complete}") count=$((count + 1))
    [ $count -le "$1" ] || [ "$release" = "$current" ] || [ "$release" = "$previous" ] || echo "$release"
  done
}

finish() { # number of releases to keep
  lock_for_this_deploy
  folder=$home/releases/$(current_release)
  if [ -d "$work/previous" ]; then
    # A release may have been deployed with several settings: the saved states are nested, up to a depth of four.
    [ "$(cat "$work/previous/release")" != "$(current_release)" ] || [ ! -d "$folder/.previous" ] ||
      mv -T "$folder/.previous" "$work/previous/.previous"
    rm -rf "$work/previous/.previous/.previous/.previous/.previous" "$folder/.previous"
    mv -T "$work/previous" "$folder/.previous"
  elif [ -d "$work/rollback" ] && [ "$(cat "$work/rollback/replaced")" = "$(current_release)" ]; then
    rm -rf "$folder/.previous"
    [ ! -d "$work/rollback/.previous" ] || mv -T "$work/rollback/.previous" "$folder/.previous"
  fi
  for release in $(list_old_releases "$1"); do
    rm -rf "${home:?}/releases/$release"
    report removed "$release"
  done
  rm -rf "$payload" "$work/doctor-bundles" "$work/tmp" "$work/rollback" "$work/log" "$work/unit"
  rm -f "$work"/started*
}

report_newest_segments() { # a line for each folder of journals: the highest number, and the folder
  cd "$state" && find . -type f -name 'journal-[0-9]*.jsonl' | awk '{
    folder = $0
    sub("/[^/]*$", "", folder)
    number = substr($0, length(folder) + 10) + 0
    if (number > newest[folder] + 0) newest[folder] = number
  }
  END { for (folder in newest) print "newest=" newest[folder] " " folder }'
}

undeploy() { # journal-too?
  if [ -d "$work" ]; then lock_steps; fi
  if [ -d /run/systemd/system ]; then
    for known in $(known_units) "$unit"; do systemctl disable --now "$known" 9>&- 2>/dev/null || :; done
  fi
  rm -f "$units/fer-edge.service" "$units/fer-edge@.service" /etc/sysusers.d/fer-edge.conf
  [ ! -d /run/systemd/system ] || systemctl daemon-reload 9>&-
  while read -r file; do rm -f "$file"; done <"$work/settings" 2>/dev/null || :
  rmdir "$(dirname "$settings")" 2>/dev/null || :
  rm -rf "$runtime" "$home/current" "$home/releases" "$home/bundles" "$home/detectors"
  if [ -n "$1" ]; then
    rm -rf "$state"
    ! id fer-edge >/dev/null 2>&1 || userdel fer-edge >/dev/null 2>&1 || reject "the user fer-edge could not be removed"
  elif [ -d "$state" ]; then
    report journal "$state"
  fi
  for file in "$(dirname "$settings")"/*; do [ ! -e "$file" ] || report remaining "$file"; done
  rm -rf "$work"
  rmdir "$home" 2>/dev/null || [ ! -d "$home" ] || report remaining "$home"
}
