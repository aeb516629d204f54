#!/bin/sh
# Replaces systemctl and journalctl in tests of deploys: starts the command of a unit as the unit's user.
# It does not wait, restart or confine; test_booted.py and test_service.py check these properties of the units.
notes=/run/stand-in
mkdir -p $notes
echo "$(basename "$0") $*" >>$notes/calls

unit_file() {
  case $1 in *@*) echo "/etc/systemd/system/${1%%@*}@.service" ;; *) echo "/etc/systemd/system/$1" ;; esac
}
alive() { [ -s "$notes/$1.pid" ] && kill -0 "$(cat "$notes/$1.pid")" 2>/dev/null; }
word() { if alive "$1"; then echo active; elif [ -e "$notes/$1.pid" ]; then echo failed; else echo inactive; fi; }

start() {
  alive "$1" && return
  file=$(unit_file "$1") instance=${1#*@}
  [ -e "$file" ] || { echo "Unit $1 not found." >&2; exit 5; }
  install -d -o fer-edge -g fer-edge -m 750 /var/lib/fer-edge
  install -d -o fer-edge -g fer-edge -m 755 /run/fer-edge
  command=$(sed -n 's/^ExecStart=//p' "$file" | sed "s/%i/${instance%.service}/g")
  environment=$(sed -n 's/^Environment=//p' "$file")
  # shellcheck disable=SC2086 # words are words there too
  setsid setpriv --reuid fer-edge --regid fer-edge --init-groups env -i PATH=/usr/bin:/bin STATE_DIRECTORY=/var/lib/fer-edge \
    RUNTIME_DIRECTORY=/run/fer-edge CONFIGURATION_DIRECTORY=/etc/fer-edge $environment $command \
    </dev/null >"$notes/$1.log" 2>&1 &
  echo $! >"$notes/$1.pid"
}

stop() {
  if alive "$1"; then
    kill "$(cat "$notes/$1.pid")"
    while alive "$1"; do sleep 0.05; done
  fi
  rm -f "$notes/$1.pid"
}

for name; do :; done # the last word is the unit
case $(basename "$0"):"$*" in
journalctl:*)
  while [ "$1" != --unit ]; do shift; done
  tail -n 12 "$notes/$2.log"
  ;;
*daemon-reload | *reset-failed*) ;;
*list-units*)
  for file in "$notes"/*.pid; do
    name=$(basename "$file" .pid)
    if [ -e "$file" ] && alive "$name"; then echo "$name loaded active running"; fi
  done
  ;;
*is-active*)
  case $* in *--quiet*) ;; *) word "$name" ;; esac
  alive "$name"
  ;;
*is-enabled*) [ -e "$notes/$name.enabled" ] ;;
*--value*) echo 0 ;;
*show*) printf 'LoadState=loaded\nActiveState=%s\nSubState=running\nResult=success\nUnitFileState=enabled\nNRestarts=0\nFragmentPath=%s\n' "$(word "$name")" "$(unit_file "$name")" ;;
*try-restart*) if alive "$name"; then stop "$name"; start "$name"; fi ;;
*disable*)
  stop "$name"
  rm -f "$notes/$name.enabled"
  ;;
*enable*) touch "$notes/$name.enabled" ;;
*stop*) stop "$name" ;;
*start*) start "$name" ;;
esac
