# shellcheck shell=sh
# shellcheck disable=SC2016,SC2034,SC2154,SC2317
# Reads what identifies this host, and the registrations on it. Changes nothing and writes nothing.

# line_of FILE: its first line, or nothing.
line_of() {
  line=
  { IFS= read -r line <"$1"; } 2>/dev/null
  printf '%s' "$line"
}

# guid_of FILE, as JSON
guid_of() {
  line=$(line_of "$1")
  if is_guid "$line"; then printf '"%s"' "$(lower "$line")"; else printf 'null'; fi
}

machine_id() {
  line=$(line_of "$root/etc/machine-id")
  if is_hex32 "$line"; then printf '"%s"' "$(lower "$line")"; else printf 'null'; fi
}

# The pool is what the host last wrote through the daemon. Without the daemon it may be from before a move: unknown.
physical_host() {
  daemon=
  for entry in "$root"/proc/[0-9]*/comm; do
    line=
    { IFS= read -r line <"$entry"; } 2>/dev/null
    case $line in hv_kvp_daemon* | hypervkvpd*)
      daemon=yes
      break
      ;;
    esac
  done
  [ -n "$daemon" ] && [ -r "$root/var/lib/hyperv/.kvp_pool_3" ] || return 0
  head -c 655360 "$root/var/lib/hyperv/.kvp_pool_3" | od -A n -v -t u1 | awk '
    { for (i = 1; i <= NF; i++) {
        at = n % 2560
        if (at == 0) { key = ""; value = ""; over = 0 }
        if (at == 512) over = 0
        if ($i == 0) over = 1
        else if (!over && at < 512) key = key sprintf("%c", $i < 128 ? $i : 63)
        else if (!over) value = value " " $i
        n++
        if (at == 2559 && key == "PhysicalHostName" && value != "") { print value; exit }
    } }' | json_bytes 128
}

fingerprint_of() {
  print=
  if have ssh-keygen; then
    print=$(ssh-keygen -E sha256 -lf "$1" 2>/dev/null </dev/null | head -n 1)
    print=${print#* } print=${print%% *}
  fi
  case $print in
    SHA256:*) ;;
    *)
      have openssl || return 0
      read -r _ blob _ <"$1" || [ -n "$blob" ] || return 0
      print=SHA256:$(printf '%s' "$blob" | base64_decode 2>/dev/null | openssl dgst -sha256 -binary 2>/dev/null | base64_encode)
      print=${print%=}
      ;;
  esac
  case ${print#SHA256:} in *[!A-Za-z0-9+/]*) return 0 ;; esac
  if [ "${#print}" -eq 50 ] && [ "$print" != "$empty_print" ]; then printf '%s\n' "$print"; fi
}

# The SHA-256 of nothing: a file that holds no key
empty_print=SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU

ssh_host_keys() {
  for entry in "$root"/etc/ssh/ssh_host_*_key.pub; do
    if [ -r "$entry" ] && [ -s "$entry" ]; then fingerprint_of "$entry"; fi
  done | sort -u | head -n 8
}

# Interfaces with a device behind them; if none has one, all but loopback.
macs() {
  behind=
  for entry in "$root"/sys/class/net/*; do
    if [ -e "$entry/device" ]; then behind=yes; fi
  done
  for entry in "$root"/sys/class/net/*; do
    if [ -n "$behind" ] && [ ! -e "$entry/device" ]; then continue; fi
    address=$(line_of "$entry/address")
    case $address in
      00:00:00:00:00:00) ;;
      ??:??:??:??:??:??) printf '%s\n' "$(lower "$address")" ;;
    esac
  done | sort -u | head -n 16
}

# list: lines of plain text -> a JSON list, or null when there are none.
list() {
  items=
  while IFS= read -r item; do
    if [ -n "$item" ]; then items="$items,$(text "$item" 64)"; fi
  done
  if [ -n "$items" ]; then printf '[%s]' "${items#,}"; else printf 'null'; fi
}

# fetch_metadata: the body of the instance metadata service's answer. Straight to it, never through a proxy.
fetch_metadata() {
  unset http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY
  url="${DRKIT_IMDS:-http://169.254.169.254}/metadata/instance?api-version=2025-04-07"
  if have curl; then
    curl -q -s -f -g --noproxy '*' --connect-timeout 1 --max-time 2 -H 'Metadata: true' "$url" 2>/dev/null
  elif have wget; then
    case $(wget --version 2>&1) in
      *'GNU Wget'*) wget --no-config --no-proxy -q -t 1 -T 2 --max-redirect=0 --header 'Metadata: true' -O - "$url" 2>/dev/null ;;
      *) wget -Y off -q --header 'Metadata: true' -O - "$url" 2>/dev/null ;;
    esac
  fi | head -c 65536
}

# leaf NAME MOST: the value of the one key of that name in $metadata, as JSON. Inside a JSON string a quotation mark is
# escaped, so that no tag can pass for a key.
leaf() {
  # shellcheck disable=SC2020  # characters are meant
  only=$(printf '%s' "$metadata" | tr ',{}\n' '\n\n\n ' | sed -n 's/^[[ ]*"'"$1"'" *: *"\([^"\\]*\)"[] ]*$/\1/p')
  case $only in *"$newline"*) only= ;; esac
  text "$only" "$2"
}

imds() {
  metadata=$(fetch_metadata)
  id=$(leaf vmId 36)
  id=${id#\"}
  if is_guid "${id%\"}"; then
    printf '{"vmId":"%s","resourceId":%s,"location":%s,"zone":%s,"physicalZone":%s}' "$(lower "${id%\"}")" \
      "$(leaf resourceId 600)" "$(leaf location 64)" "$(leaf zone 16)" "$(leaf physicalZone 64)"
  fi
}

# reachable PATH: 0 it is there, 1 it is not, 2 cannot tell, because a folder on the way may not be entered.
reachable() {
  if [ -e "$1" ]; then return 0; fi
  way=${1#/} so_far=
  while :; do
    so_far=$so_far/${way%%/*}
    [ -e "$so_far" ] || return 1
    if [ -d "$so_far" ] && [ ! -x "$so_far" ]; then return 2; fi
    case $way in */*) way=${way#*/} ;; *) return 1 ;; esac
  done
}

# id_in PATH USER: sets id to the first GUID of a file that belongs to that user, read as that user, so that a link shows
# root's files to nobody. Who is not root reads with no more than their own rights.
id_in() {
  id=
  if [ "$me" != 0 ]; then
    if [ -f "$1" ] && [ -r "$1" ]; then id=$(head -c 65536 "$1" 2>/dev/null | first_guid); fi
  elif find_user "$2"; then
    search=$PATH:/usr/local/bin:/usr/bin:/bin
    id=$(bounded 2 as_user run /bin/sh -c 'echo; [ -f "$1" ] && [ "$(stat -L -c %u "$1")" = "$2" ] && head -c 65536 <"$1"' \
      sh "$1" "$uid" 2>/dev/null | head -c 65537 | {
      if IFS= read -r _; then printf '='; fi
      first_guid
    })
    search=''
    case $id in =*) id=${id#=} ;; *) partial=1 ;; esac # it could not be looked at
  else
    partial=1
  fi
}

# registration PRODUCT PATH USER: adds one to items when it is there.
registration() {
  case $seen in *"$newline$1$tab$2$newline"*) return ;; esac
  reachable "$2"
  case $? in
    1) return ;;
    2)
      partial=1
      return
      ;;
  esac
  seen=$seen$1$tab$2$newline
  if [ "$(($(date +%s) - began))" -gt 4 ]; then
    partial=1
    return
  fi
  id_in "$2" "$3"
  item="{\"product\":$(text "$1" 64),\"id\":$(text "$id" 36),\"user\":$(text "$3" 64),\"path\":$(text "$2" 1024)}"
  if [ "$((${#items} + ${#item} + 1))" -gt "$room" ]; then
    partial=1
  else
    items=$items,$item
  fi
}

owner_of() {
  owner=$(stat -c %u "$1" 2>/dev/null)
  while IFS=: read -r name _ id _; do
    if [ "$id" = "${owner:-none}" ]; then
      printf '%s' "$name"
      break
    fi
  done <"$root/etc/passwd"
}

# registrations: what was asked for -> 0 or 1 (something could not be looked at, or did not fit), and the list.
registrations() {
  items='' partial=0 seen=$newline passwd=$root/etc/passwd began=$(date +%s)
  if [ ! -r "$passwd" ]; then
    partial=1 passwd=/dev/null
  fi
  while IFS=$tab read -r product place; do
    case $place in
      \~/?*)
        homes=0
        while IFS=: read -r name _ _ _ _ home _ || [ -n "$name" ]; do
          case $home in /*) ;; *) continue ;; esac
          homes=$((homes + 1))
          if [ "$homes" -gt 1000 ]; then
            partial=1
            break
          fi
          registration "$product" "${home%/}/${place#\~/}" "$name"
        done <"$passwd"
        ;;
      /?*) registration "$product" "$place" "$(if [ -e "$place" ] && [ -r "$root/etc/passwd" ]; then owner_of "$place"; fi)" ;;
    esac
  done
  if [ -z "$items" ] && [ "$partial" = 1 ]; then printf '1null'; else printf '%s[%s]' "$partial" "${items#,}"; fi
}

asked() {
  printf '%s\n' "$drkit_registrations" | registrations
}

main() {
  take "drkit_registrations" "$@"
  begin probe
  field time "\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\""
  field hostname "$(text "$(line_of "$root/proc/sys/kernel/hostname")" 64)"
  field os '"linux"'
  field machine_id "$(machine_id)"
  field boot_id "$(guid_of "$root/proc/sys/kernel/random/boot_id")"
  field smbios_uuid "$(guid_of "$root/sys/class/dmi/id/product_uuid")"
  field physical_host "$(bounded 1 physical_host)"
  field ssh_host_keys "$(bounded 2 ssh_host_keys | list)"
  field macs "$(macs | list)"
  field imds "$(bounded 3 imds)"
  answer=0null
  if [ -n "$drkit_registrations" ]; then
    room=$((3400 - ${#object}))
    answer=$(bounded 9 asked)
    answer=${answer:-1null}
  fi
  field registrations "${answer#?}"
  case $answer in 1*) field partial true ;; *) field partial false ;; esac
  printf '%s}\n' "$object"
}

main "$@" </dev/null
