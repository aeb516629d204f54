# The other instances on the target, which share the release: restarted with it, and waited for.

active_units() { systemctl list-units --plain --no-legend --state=active 'fer-edge.service' 'fer-edge@*.service' | awk '{ print $1 }'; }

# Those of fer-edge that systemd knows or starts at boot, in any state: one that is starting or waits for a restart is not active.
known_units() {
  {
    systemctl list-units --all --plain --no-legend 'fer-edge.service' 'fer-edge@*.service' | awk '{ print $1 }'
    ls "$units"/*.wants 2>/dev/null | grep '^fer-edge\(@.*\)\?\.service$'
  } | sort -u
}

# The units that were active when the state was saved: those that fail now too.
units_before() { # folder of save_state
  cat "$1/active" 2>/dev/null || active_units
}

restart_other_instances() { # units, with or without this one: they would go on with the old release
  rm -f "$work"/started-*
  for other in $1; do
    [ "$other" != "$unit" ] || continue
    systemctl reset-failed "$other" 9>&- 2>/dev/null || :
    systemctl stop "$other" 9>&- || :
    : >"$work/started-$other"
    systemctl start "$other" 9>&- 2>/dev/null || : # wait_other_instances reports the result
  done
}

# Reports each other instance that was restarted, once it runs again.
wait_other_instances() { # for so many thirds of a second, all together
  lock_for_this_deploy
  turn=0
  for started in "$work"/started-*; do
    [ -e "$started" ] || continue
    other=${started#"$work/started-"}
    until runs_again "$other" "$started" $(($1 - turn)); do
      turn=$((turn + 1))
      sleep 0.3
    done
    report running "$other"
  done
}

runs_again() { # unit file-of-its-start's-time turns-left
  active=$(systemctl is-active "$1" || :)
  restarts=$(systemctl show --property NRestarts --value "$1")
  case $active:${restarts:-0} in
  failed:* | inactive:* | *:[1-9]*) ;;
  active:*) # in the end that is enough: an instance that was installed by hand may have a status of another name
    [ "$3" -gt 0 ] && ! has_started "$1" "$2" || return 0
    return 1
    ;;
  *) [ "$3" -le 0 ] || return 1 ;; # systemd waits before it restarts one that failed
  esac
  printf '%s, which ran before, is %s after %s restarts\n' "$1" "${active:-unknown}" "${restarts:-0}" >&2
  print_service_log "$1" "$2"
  printf 'if it failed before the deploy too: systemctl stop %s, and deploy again\n' "$1" >&2
  exit 4
}

has_started() { # unit file-of-its-start's-time
  name=${1#*@} name=${name%.service}
  [ "$1" != fer-edge.service ] || name=camera
  [ "$runtime/$name.status.json" -nt "$2" ] || return 1
  case $(as_service head -c 65536 "$runtime/$name.status.json" 2>/dev/null | tr -d '\n') in
  '' | *'"state": "starting"'*) return 1 ;; # an extra that it needs may still be found missing
  esac
}
