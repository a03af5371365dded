# shellcheck shell=sh
# shellcheck disable=SC2016,SC2034,SC2154,SC2317
# Says how the registration that was started under a nonce stands. Changes nothing.

# said SED-SCRIPT: what it finds in the end of the output, without colours and carriage returns.
said() {
  { tail -c 262144 "$box/output" | tr -d '\r' | sed "s/$escape\[[0-9;?]*[A-Za-z]//g" | sed -n "$1"; } 2>/dev/null
}

main() {
  take "drkit_nonce drkit_user drkit_registration" "$@"
  need_nonce drkit_nonce "$drkit_nonce"
  state_folder "$drkit_nonce"
  box=$folder_of
  escape=$(printf '\033')
  state=absent rc='' code='' codes=0 url='' already='' error='' found_id=''
  if [ -d "$box" ]; then
    of_kind register
    state=exited
    settle
    if alive "$box/pid"; then state=running; fi
    if [ -f "$box/rc" ]; then # looked at last: it may have ended meanwhile
      read -r rc <"$box/rc"
      state=exited
    fi
  fi
  if [ -f "$box/output" ]; then
    prompts=$(said 's/.*enter the code \([A-Za-z0-9-]\{4,40\}\) to authenticate.*/\1/p')
    codes=$(printf '%s' "$prompts" | grep -c .)
    code=${prompts##*"$newline"}
    url=$(said 's/.*open the page \(https:[^[:space:]"<>\\]*\) and enter the code.*/\1/p' | tail -n 1)
    already=$(said '/already registered on this machine with ID/s/.*with ID//p' | tail -n 1 | first_guid)
    error=$(said 's/.*\[!ERROR\] *//p' | tail -n 1)
  fi
  if find_user "$drkit_user" && locate "$drkit_registration"; then inspect; fi

  begin watch
  field state "\"$state\""
  field rc "$rc"
  field code "$(text "$code" 40)"
  field codes "$codes"
  field url "$(text "$url" 200)"
  field already "$(text "$already" 36)"
  field error "$(text "$error" 300)"
  field id "$(text "$found_id" 36)"
  printf '%s}\n' "$object"
}

main "$@" </dev/null
