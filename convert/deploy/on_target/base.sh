# What `fer-edge deploy` does on the target: a function a step, each of which may be repeated after any interruption. This file
# and those beside it are sent as one; before them, quoted: home settings state runtime unit instance token; after them one call.
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

failed() { # log exit-code?
  tail -n 12 "$1" >&2
  exit "${2:-1}"
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

put() { # file where mode
  mkdir -p "$(dirname "$2")"
  (umask 077 && cp "$1" "$2.new") # settings are nobody's to read before they are what they shall be
  chmod "$3" "$2.new"
  [ "$3" != 640 ] || chgrp fer-edge "$2.new" 2>/dev/null || :
  mv -f "$2.new" "$2"
}

back() { if [ -e "$1" ]; then put "$1" "$2" "$3"; else rm -f "$2"; fi; }

point() { # to the release; one rename
  rm -f "$home/.current.new"
  ln -s "releases/$1" "$home/.current.new"
  mv -fT "$home/.current.new" "$home/current"
}

unit_file() {
  case $unit in
  *@*) echo "$units/${unit%%@*}@.service" ;;
  *) echo "$units/$unit" ;;
  esac
}

running() { systemctl list-units --plain --no-legend --state=active 'fer-edge.service' 'fer-edge@*.service' | awk '{ print $1 }'; }

others() { # instances of the same program, which would go on with the old one
  for other in $(running); do
    [ "$other" = "$unit" ] || systemctl try-restart "$other" 9>&- || :
  done
}
