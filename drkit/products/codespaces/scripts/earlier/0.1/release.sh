# shellcheck shell=sh
# shellcheck disable=SC2016,SC2034,SC2154,SC2317
# Takes a self-hosted environment off this host: a copy of the registration first, then "codespaces stop".

# answer STATE ID RC BACKUP AGAIN
answer() {
  begin release
  field state "\"$1\""
  field id "$(text "$2" 36)"
  field rc "$3"
  field backup "$(text "$4" 512)"
  field again "$5"
  object="$object}"
}

# tell: prints the object; done with it, if this delivery did something, is what a later one repeats.
tell() {
  if [ -n "${1-}" ]; then printf '%s\n' "$object" >"$box/result.new" && mv -f "$box/result.new" "$box/result"; fi
  printf '%s\n' "$object"
  exit 0
}

again() {
  of_kind release
  if [ -f "$box/result" ]; then
    IFS= read -r object <"$box/result"
    object="${object%'"again":false}'}\"again\":true}"
    tell
  fi
  copy=
  if [ -f "$box/registration" ]; then copy=$box/registration; fi
  if alive "$box/claim"; then answer running "" "" "$copy" true; else answer interrupted "" "" "$copy" true; fi
  tell
}

# back_up: a flushed copy beside a note of owner and mode; false when it is not the file that was meant.
back_up() {
  keep cat "$path" 2>/dev/null | dd of="$box/registration" conv=fsync 2>/dev/null || return 1
  keep stat -L -c '%u %g %a' "$path" >"$box/registration.meta" 2>/dev/null || return 1
  [ "$(first_guid <"$box/registration")" = "$drkit_environment" ] || return 1
  keep cat "$path" 2>/dev/null | cmp -s - "$box/registration"
}

stop() {
  bounded "$drkit_timeout" as_user run "$cli" stop </dev/null >"$box/output" 2>&1
}

main() {
  take "drkit_nonce drkit_user drkit_registration drkit_environment drkit_timeout drkit_force" "$@"
  need_nonce drkit_nonce "$drkit_nonce"
  is_guid "$drkit_environment" || die 64 "parameter drkit_environment is not a GUID"
  drkit_environment=$(lower "$drkit_environment")
  need_seconds drkit_timeout "$drkit_timeout" 5000
  need_flag drkit_force "$drkit_force"
  is_path "$drkit_registration" || die 64 "parameter drkit_registration is no path"
  state_folder "$drkit_nonce"
  box=$folder_of
  if [ -d "$box" ]; then again; fi

  if ! find_user "$drkit_user"; then
    answer no-user "" "" "" false
    tell
  fi
  locate "$drkit_registration"
  inspect
  if [ "$found" != file ]; then
    answer absent "" "" "" false
    tell
  fi
  if [ "$found_id" != "$drkit_environment" ]; then
    answer other "$found_id" "" "" false
    tell
  fi
  if ! find_cli; then
    answer no-cli "$found_id" "" "" false
    tell
  fi

  trap '' HUP # a lost connection must not leave this half done
  claim release || again
  if ! back_up; then
    rm -rf "$box"
    die 73 "could not copy $path to $base"
  fi
  stop
  rc=$?
  ended=$rc
  if [ -n "$timed_out" ]; then ended=; fi
  inspect
  state=kept
  if [ "$found" != file ]; then
    if [ "$ended" = 0 ]; then state=released; else state=forgotten; fi
  elif [ "$found_id" != "$drkit_environment" ]; then
    state=other
  elif [ "$drkit_force" = 1 ] && keep rm -f "$path" 2>/dev/null; then
    inspect
    if [ "$found" = none ]; then state=forgotten; fi
  fi
  if [ "$state" = other ]; then
    answer other "$found_id" "$ended" "$box/registration" false
  else
    answer "$state" "$drkit_environment" "$ended" "$box/registration" false
  fi
  tell "done"
}

main "$@" </dev/null
