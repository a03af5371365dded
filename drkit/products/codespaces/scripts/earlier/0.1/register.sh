# shellcheck shell=sh
# shellcheck disable=SC2016,SC2034,SC2154,SC2317
# Starts the registration of a self-hosted environment and lets it run: a person signs in while it waits.

# answer STATE AGAIN
answer() {
  begin register
  field state "\"$1\""
  field again "$2"
  printf '%s}\n' "$object"
  exit 0
}

again() {
  of_kind register
  settle
  if [ -f "$box/pid" ]; then answer started true; else answer interrupted true; fi
}

# Stays with the command to record how it ended. It says who it is before it begins.
supervisor='
umask 077
trap "" HUP
box=$1 boot=$2
shift 2
IFS= read -r line <"/proc/$$/stat"
name=$$
(
  set -- ${line##*) }
  printf "%s %s %s\n" "$name" "${20}" "$boot" >"$box/pid.new"
)
mv -f "$box/pid.new" "$box/pid" || exit 1
"$@" </dev/null >"$box/output" 2>&1
printf "%s\n" "$?" >"$box/rc.new"
mv -f "$box/rc.new" "$box/rc"
'

launch() {
  if have setsid; then
    setsid /bin/sh -c "$supervisor" sh "$box" "$(boot_id)" "$@" </dev/null >/dev/null 2>&1 &
  else
    nohup /bin/sh -c "$supervisor" sh "$box" "$(boot_id)" "$@" </dev/null >/dev/null 2>&1 &
  fi
}

main() {
  take "drkit_nonce drkit_user drkit_plan drkit_name drkit_workspace drkit_service" "$@"
  need_nonce drkit_nonce "$drkit_nonce"
  need_flag drkit_service "$drkit_service"
  [ -n "$drkit_plan" ] || die 64 "parameter drkit_plan is empty"
  [ -n "$drkit_name" ] || die 64 "parameter drkit_name is empty"
  state_folder "$drkit_nonce"
  box=$folder_of
  if [ -d "$box" ]; then again; fi

  find_user "$drkit_user" || answer no-user false
  case $drkit_workspace in \~/*) drkit_workspace=$home/${drkit_workspace#\~/} ;; esac
  case $drkit_workspace in /*) ;; *) answer no-workspace false ;; esac
  case $(as_user run /bin/sh -c 'if [ -d "$1" ]; then echo yes; else echo no; fi' sh "$drkit_workspace" 2>/dev/null) in
    yes) ;;
    no) answer no-workspace false ;;
    *) die 77 "cannot run a command as user $user" ;;
  esac
  find_cli || answer no-cli false

  trap '' HUP
  claim register || again
  set -- "$cli" start -i "$drkit_plan" -n "$drkit_name" -w "$drkit_workspace"
  if [ "$drkit_service" = 1 ]; then set -- "$@" --service; fi
  as_user launch "$@"
  settle
  if [ -f "$box/pid" ]; then answer started false; else answer interrupted false; fi
}

main "$@" </dev/null
