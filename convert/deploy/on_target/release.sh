# A new release beside the one in use, and its checks. Nothing here changes the running service.

begin() { # release, empty for a rollback
  mkdir -p "$home/releases"
  mkdir -p "$work"
  chmod 700 "$work" # settings may hold passwords
  chmod 755 "$home" "$home/releases"
  lock_steps
  [ -z "$1" ] || reject_unconfirmed_other
  printf '%s\n' "$token" >"$work/token.new"
  mv -f "$work/token.new" "$work/token"
  for folder in "$home"/releases/*; do # left by an interrupted install
    [ ! -d "$folder" ] || [ -e "$folder/.complete" ] || rm -rf "$folder"
  done
  rm -rf "$home"/.current.* "$work/previous.new" "$work/doctor-bundles" "$work/tmp"
  mkdir -p "$payload" "$work/tmp"
  [ ! -e "$home/releases/$1/.complete" ] || report complete yes
}

# There is one saved state: a deploy of this instance would restore that of the other one, and its own would be lost.
reject_unconfirmed_other() {
  [ -d "$work/previous" ] && [ "$(cat "$work/previous/unit-name")" != "$unit" ] || return 0
  other=$(cat "$work/previous/instance")
  undo=", or undo it with \`fer-edge deploy USER@HOST --rollback\`"
  [ -n "$(cat "$work/previous/release")" ] || undo=
  reject "a deploy of the instance $other was interrupted before its first log line; complete it with" \
    "\`fer-edge deploy USER@HOST --name $other\`$undo, before you deploy $instance"
}

make_environment() { # release python site-packages-of-the-system?
  lock_for_this_deploy
  folder=$home/releases/$1
  if [ -e "$folder/.complete" ]; then
    report complete yes
    return
  fi
  rm -rf "$folder"
  "$2" -m venv --without-pip ${3:+--system-site-packages} "$folder" >"$work/log" 2>&1 || fail_with_log "$work/log"
}

install_packages() { # release extras constraints-file? offline?
  lock_for_this_deploy
  folder=$home/releases/$1
  if [ -e "$folder/.complete" ]; then
    report complete yes
    return
  fi
  set -- "$folder" "$2" ${3:+--constraint "$payload/$3"} ${4:+--no-index --find-links "$payload/wheels"}
  extras=$2
  shift 2
  pip=$(echo "$payload"/pip-*.whl) wheel=$(echo "$payload"/fer_edge-*.whl)
  # No cache and not /tmp: a cache would fill the card, and /tmp may be in memory.
  TMPDIR=$work/tmp PYTHONPATH=$pip "$folder/bin/python" -m pip --disable-pip-version-check --no-input install \
    --no-cache-dir --progress-bar off "$@" "$pip" "$wheel$extras" >"$work/log" 2>&1 9>&- || fail_with_log "$work/log"
  sync
  : >"$folder/.complete"
  sync
}

install_bundle() { # release folder?
  lock_for_this_deploy
  program=$home/releases/$1/bin/fer-edge
  mkdir -p "$home/bundles"
  rm -rf "$work/doctor-bundles"
  mkdir "$work/doctor-bundles" # a bundles' folder for the doctor: the same bundles, with the new one in use
  ln -s "$home/bundles/releases" "$work/doctor-bundles/releases"
  if [ -n "$2" ]; then
    name=$("$program" bundle install "$payload/$2" --bundles "$home/bundles" 2>"$work/log" 9>&-) || fail_with_log "$work/log" 5
    printf '%s\n' "$name" >"$work/doctor-bundles/in-use"
    report bundle "$name"
  elif [ -e "$home/bundles/in-use" ]; then
    cp "$home/bundles/in-use" "$work/doctor-bundles/in-use"
  fi
}

run_doctor() { # release new-settings?
  lock_for_this_deploy
  set -- "$home/releases/$1/bin/fer-edge" "$([ -z "$2" ] && echo "$settings" || echo "$payload/settings.toml")"
  program=$1 config=$2
  set --
  [ ! -e "$config" ] || set -- --config "$config"
  FER_EDGE_BUNDLES=$work/doctor-bundles FER_EDGE_DETECTORS=$payload/detectors STATE_DIRECTORY=$state RUNTIME_DIRECTORY=$runtime \
    CONFIGURATION_DIRECTORY=$(dirname "$settings") \
    "$program" doctor --json --first-run --name "$instance" "$@" 2>"$work/log" 9>&- || :
  [ -s "$work/log" ] && tail -n 1 "$work/log" >&2
  true
}
