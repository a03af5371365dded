# shellcheck shell=sh
# shellcheck disable=SC2016,SC2034,SC2154,SC2317
# Asks each URL for any HTTP answer at all, from this host.

# status_of URL: the HTTP status, 0 when nothing answered, null when it could not be asked.
status_of() {
  case $1 in
    https:// | *[!!-~]*) printf 'null' && return ;;
    https://*) ;;
    *) printf 'null' && return ;;
  esac
  if have curl; then
    said=$(bounded "$((drkit_timeout + 2))" curl -q -s -g -o /dev/null -w '%{http_code}' --proto '=https' \
      --connect-timeout "$drkit_timeout" --max-time "$drkit_timeout" --url "$1" 2>/dev/null)
  else
    case $(wget --version 2>&1) in # some builds of busybox crash on -T
      *'GNU Wget'*) set -- -T "$drkit_timeout" -t 1 --max-redirect=0 -- "$1" ;;
      *) set -- -- "$1" ;;
    esac
    said=$(bounded "$drkit_timeout" wget -S -O /dev/null "$@" 2>&1 >/dev/null)
    case $said in
      # a wget without TLS, without all of it (busybox knows few ciphers), or without -S
      *'not an http'* | *ssl_client* | *'TLS error from peer'* | *'unrecognized option'* | *'invalid option'*)
        printf 'null'
        return
        ;;
    esac
    said=$(printf '%s\n' "$said" | sed -n -e 's/^ *HTTP\/[0-9.]* \([1-9][0-9][0-9]\).*/\1/p' \
      -e 's/^wget: server returned error: *HTTP\/[0-9.]* \([1-9][0-9][0-9]\).*/\1/p' | tail -n 1)
  fi
  case $said in
    [1-9][0-9][0-9]) printf '%s' "$said" ;;
    *) printf '0' ;;
  esac
}

# results: lines of URLs -> true or false (not all of them fitted), and the list.
results() {
  items='' partial=false
  while IFS= read -r url; do
    [ -n "$url" ] || continue
    shown=$(text "$url" 1024)
    if [ "${#url}" -gt 1024 ] || [ "$((${#items} + ${#shown}))" -gt 3300 ]; then
      partial=true
      continue
    fi
    items="$items,{\"url\":$shown,\"http\":$(status_of "$url" </dev/null)}"
  done
  printf '%s [%s]' "$partial" "${items#,}"
}

main() {
  take "drkit_urls drkit_timeout" "$@"
  need_seconds drkit_timeout "$drkit_timeout" 300
  begin reach
  answer='false null'
  if have curl || have wget; then answer=$(printf '%s\n' "$drkit_urls" | results); fi
  field results "${answer#* }"
  field partial "${answer%% *}"
  printf '%s}\n' "$object"
}

main "$@" </dev/null
