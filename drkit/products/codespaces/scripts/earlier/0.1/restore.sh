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

# Writes beside the path and links: a link never overwrites, so that a registration made meanwhile stays.
writer='
umask 077
aside=$1.drkit-$5
mkdir -p "$(dirname "$1")" && cat >"$aside" || exit 1
chown "$2:$3" "$aside" 2>/dev/null || chgrp "$3" "$aside" 2>/dev/null
chmod "$4" "$aside" || { rm -f "$aside"; exit 1; }
if [ -f "$1" ] && [ ! -s "$1" ]; then rm -f "$1"; fi
ln "$aside" "$1" 2>/dev/null || { [ ! -e "$1" ] && mv "$aside" "$1"; }
rm -f "$aside"
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
  read -r owner group mode <"$copy.meta"
  keep /bin/sh -c "$writer" sh "$path" "$owner" "$group" "$mode" "$drkit_nonce" <"$copy" >/dev/null 2>&1
  inspect
  if [ "$found" != file ]; then answer failed; fi
  if [ "$found_id" != "$copy_id" ]; then answer occupied; fi
  if keep cat "$path" 2>/dev/null | cmp -s - "$copy"; then answer restored; else answer failed; fi
}

main "$@" </dev/null
