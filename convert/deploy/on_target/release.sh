# A new release beside the one that serves, and the proof of it. Nothing here touches what serves.

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

bundle() { # release folder?
  mine
  program=$home/releases/$1/bin/fer-edge
  mkdir -p "$home/bundles"
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
  FER_EDGE_BUNDLES=$work/proof FER_EDGE_DETECTORS=$ship/detectors STATE_DIRECTORY=$state RUNTIME_DIRECTORY=$runtime \
    CONFIGURATION_DIRECTORY=$(dirname "$settings") \
    "$program" doctor --json --first-run --name "$instance" "$@" 2>"$work/log" 9>&- || :
  [ -s "$work/log" ] && tail -n 1 "$work/log" >&2
  true
}
