# shellcheck shell=sh
# The other scripts source this file. It creates the virtual environment that they use, and creates it again if it is incomplete or
# out of date. It installs only files with known hashes. Python runs isolated (-I): a module in the current folder is not loaded.
# The caller sets drkit_root; drkit_environment then sets drkit_venv, drkit_tool sets drkit_command.

: "${drkit_root:?is set by the caller}"

drkit_fail() { # message, exit code
  printf '%s\n' "$1" >&2
  exit "$2"
}

drkit_help() { # the caller's arguments; if they ask for help, it prints the first comment of the caller and exits
  case ${1:-} in
    -h | --help) ;;
    *) return 0 ;;
  esac
  while IFS= read -r drkit_line; do
    case $drkit_line in
      '#!'*) ;;
      '#'*)
        drkit_line=${drkit_line#'#'}
        printf '%s\n' "${drkit_line# }"
        ;;
      *) break ;;
    esac
  done <"$0"
  exit 0
}

drkit_whole() { # an environment's folder; whether drkit can be used there as it is
  [ -x "$1/bin/drkit" ] && "$1/bin/python" -I -c 'import drkit' 2>/dev/null
}

drkit_tool() { # finds drkit: as DRKIT says, set up before, on PATH; only then is it set up, which needs the package index
  drkit_command=${DRKIT:-}
  [ -z "$drkit_command" ] || return 0
  if drkit_whole "${DRKIT_VENV:-$drkit_root/.venv-ops}"; then
    drkit_command=${DRKIT_VENV:-$drkit_root/.venv-ops}/bin/drkit
  elif drkit_command=$(command -v drkit); then
    :
  elif drkit_whole "$drkit_root/.venv-drill"; then
    drkit_command=$drkit_root/.venv-drill/bin/drkit
  else
    drkit_environment .venv-ops run
    drkit_command=$drkit_venv/bin/drkit
  fi
}

drkit_python() { # prints the first Python that will do
  drkit_said=
  for drkit_name in python3 python3.14 python3.13 python3.12 python3.11; do
    command -v "$drkit_name" >/dev/null 2>&1 || continue
    drkit_answer=$("$drkit_name" -I -c '
import sys
if sys.version_info < (3, 11):
    print("is %d.%d" % sys.version_info[:2])
else:
    try:
        import ensurepip, venv
    except ImportError:
        print("has no venv")
    else:
        print("good")
' 2>/dev/null) || drkit_answer='does not run'
    if [ "$drkit_answer" = good ]; then
      command -v "$drkit_name"
      return
    fi
    drkit_said=${drkit_said:-"$drkit_name $drkit_answer"}
  done
  drkit_fail "${drkit_said:-python3 is not installed}: drkit needs Python 3.11 or newer with venv; on Debian: apt-get install python3 python3-venv" 64
}

drkit_ready() { # whether the environment is whole and of today
  [ "$(cat "$drkit_venv/drkit.stamp" 2>/dev/null)" = "$drkit_stamp" ] && "$drkit_venv/bin/python" -I -c 'import drkit' 2>/dev/null
}

drkit_pip() {
  PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 "$drkit_venv/bin/python" -I -m pip install "$@"
}

drkit_install() { # Python, lock; noisy. The lock's files first, by their hashes, and then drkit with nothing else
  if [ -e "$drkit_venv/drkit.making" ] || { [ -e "$drkit_venv" ] && ! "$drkit_venv/bin/python" -I -c ''; }; then
    rm -rf "$drkit_venv"
  fi
  mkdir -p "$drkit_venv" || return
  : >"$drkit_venv/drkit.making" || return
  rm -f "$drkit_venv/drkit.stamp"
  "$drkit_venv/bin/python" -I -c 'import pip' || "$1" -I -m venv "$drkit_venv" || return
  cd "$drkit_root" || return
  drkit_pip --require-hashes -r "requirements/$2.txt" || return
  drkit_pip --no-deps --no-build-isolation -e . || return
  "$drkit_venv/bin/python" -I -c 'import drkit'
}

drkit_make() { # Python, lock
  if [ -n "$(ls -A "$drkit_venv" 2>/dev/null)" ] && [ ! -e "$drkit_venv/pyvenv.cfg" ] && [ ! -e "$drkit_venv/drkit.making" ]; then
    drkit_fail "$drkit_venv is not a virtual environment: name another folder in DRKIT_VENV" 64
  fi
  printf 'setting up %s (once)\n' "$drkit_venv" >&2
  drkit_log=$(mktemp) || drkit_fail 'a temporary file cannot be created: check TMPDIR' 1
  if (drkit_install "$@") >"$drkit_log" 2>&1; then
    printf '%s' "$drkit_stamp" >"$drkit_venv/drkit.stamp"
    rm -f "$drkit_venv/drkit.making" "$drkit_log"
  else
    cat "$drkit_log" >&2
    rm -f "$drkit_log"
    drkit_fail "$drkit_venv could not be created, see above; the next call starts again" 1
  fi
}

drkit_environment() { # folder unless DRKIT_VENV names one, lock: run, or develop
  drkit_venv=${DRKIT_VENV:-$drkit_root/$1}
  case $drkit_venv in
    /*) ;;
    *) drkit_venv=$PWD/$drkit_venv ;;
  esac
  drkit_stamp="$2 $drkit_root
$(cd "$drkit_root" && cksum pyproject.toml "requirements/$2.txt")" || exit 1
  drkit_ready && return
  drkit_found=$(drkit_python) || exit
  # One at a time: the lock is on the open file, so the system lets go of it however this process and its children end.
  exec 9<"$drkit_root/pyproject.toml"
  "$drkit_found" -I -c '
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("waiting for another setup to end", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
'
  drkit_ready || drkit_make "$drkit_found" "$2"
  exec 9<&-
}
