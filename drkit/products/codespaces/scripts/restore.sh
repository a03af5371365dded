# shellcheck shell=sh
# shellcheck disable=SC2016,SC2034,SC2154,SC2317
# Puts the registration back that a release copied, after ending the new one if that still waits for a sign-in.

# answer STATE
answer() {
  begin restore
  field state "\"$1\""
  field id "$(text "${found_id-}" 36)"
  printf '%s}\n' "$object"
  exit 0
}

# Writes into a folder of its own beside the path, and links: a link never overwrites, so that a registration made meanwhile
# stays. Inside that folder no name is anybody else's; it is entered first, so that it cannot be replaced.
writer='
umask 077
mkdir -p "$(dirname "$1")" && aside=$(mktemp -d "$1.drkit-XXXXXX") && cd "$aside" || exit 1
cat >kept && chmod "$3" kept || { rm -rf "$aside"; exit 1; }
chgrp "$2" kept 2>/dev/null
if [ -f "$1" ] && [ ! -s "$1" ]; then rm -f "$1"; fi
if [ ! -e "$1" ] && [ ! -L "$1" ]; then ln kept "$1" 2>/dev/null || { [ ! -e "$1" ] && mv kept "$1"; }; fi
cd / && rm -rf "$aside"
[ -s "$1" ]
'

main() {
  take "drkit_nonce drkit_user drkit_registration drkit_register_nonce" "$@"
  need_nonce drkit_nonce "$drkit_nonce"
  need_nonce drkit_register_nonce "$drkit_register_nonce"
  is_path "$drkit_registration" || die 64 "parameter drkit_registration is no path"
  find_user "$drkit_user" || answer no-user
  locate "$drkit_registration"
  inspect
  state_folder "$drkit_nonce"
  copy=$folder_of/registration
  if [ ! -s "$copy" ] || [ ! -f "$copy.meta" ]; then answer no-backup; fi
  copy_id=$(first_guid <"$copy")
  # What registered is left running: with another registration in place it may be somebody's environment.
  if [ "$found" = file ] && [ "$found_id" != "$copy_id" ]; then answer occupied; fi
  trap '' HUP
  state_folder "$drkit_register_nonce"
  box=$folder_of
  settle
  if alive "$box/pid"; then end_family "$stamped"; fi
  inspect
  if [ "$found" = file ]; then
    if [ "$found_id" = "$copy_id" ]; then answer restored; else answer occupied; fi
  fi
  read -r _ group mode <"$copy.meta"
  from=$copy
  keep /bin/sh -c "$writer" sh "$path" "$group" "$mode" >/dev/null 2>&1
  from=/dev/null
  inspect
  if [ "$found" != file ]; then answer failed; fi
  if [ "$found_id" != "$copy_id" ]; then answer occupied; fi
  if keep head -c "$((most + 1))" "$path" 2>/dev/null | cmp -s - "$copy"; then answer restored; else answer failed; fi
}

main "$@" </dev/null
