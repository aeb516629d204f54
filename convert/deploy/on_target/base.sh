# The steps of `fer-edge deploy` on the target: one function per step, and each may be repeated after any interruption. These
# files are sent as one script. Before them come the variables home settings state runtime unit instance token, quoted; after
# them one call.
#
#   $home/releases/VERSION-HASH/   an environment, complete once it holds .complete; .previous is the state that it replaced
#   $home/current                  a link to one of them, changed by one rename
#   $home/.deploy/                 the working files of a deploy; `previous` exists while a new release is unconfirmed

umask 022
cd / # Python imports from the folder it is started in, and a login's home may hold a logging.py
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
trap '' PIPE # a started step runs to its end, even when the connection is gone
work=$home/.deploy payload=$home/.deploy/payload
units=/etc/systemd/system

report() { printf '%s=%s\n' "$1" "$(printf %s "$2" | head -n 1)"; }
reject() {
  printf '%s\n' "$*" >&2
  exit 3
}

fail_with_log() { # log exit-code?
  tail -n 12 "$1" >&2
  exit "${2:-1}"
}

# The service's user may put into its folders what it likes, links and false paths included: they are read with its rights.
as_service() { # command
  uid=$(stat -c %u "$runtime") gid=$(stat -c %g "$runtime")
  if [ "$(id -u)" != 0 ] || [ "$uid" = 0 ]; then "$@"; else setpriv --reuid "$uid" --regid "$gid" --clear-groups -- "$@"; fi
}

current_release() { [ ! -L "$home/current" ] || basename "$(readlink "$home/current")"; }

# Only one step at a time: a step whose connection was lost may still be running.
lock_steps() {
  exec 9>>"$work/step"
  flock -w 900 9 || reject "a step of an earlier deploy is still running on the target; try again when it has ended"
}

# Only the latest deploy may change the target.
lock_for_this_deploy() {
  [ -d "$work" ] || reject "the deploy's folder $work is gone; run it again"
  lock_steps
  [ "$(cat "$work/token" 2>/dev/null)" = "$token" ] || reject "another deploy has begun since; this one was stopped"
}

install_file() { # file destination mode
  mkdir -p "$(dirname "$2")"
  (umask 077 && cp "$1" "$2.new") # settings may hold passwords: nobody else may read them before their mode is set
  chmod "$3" "$2.new"
  [ "$3" != 640 ] || chgrp fer-edge "$2.new" 2>/dev/null || :
  mv -f "$2.new" "$2"
}

restore_file() { if [ -e "$1" ]; then install_file "$1" "$2" "$3"; else rm -f "$2"; fi; }

link_current() { # release; by one rename
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
