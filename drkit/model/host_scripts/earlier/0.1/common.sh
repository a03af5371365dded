#!/bin/sh
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154  # the body uses what is set here; "take" sets the parameters by name
# shellcheck disable=SC2016,SC2317  # inner shells expand what single quotes keep; functions are handed to functions
# What all drkit host scripts share. It stands in front of each body, so that the two are one file with one hash.
# POSIX sh for dash, bash and busybox. The contract is docs/host-scripts.md. No here-documents: older bash keeps them in
# temporary files, and a host's disk may be full.
set -u
IFS=' 	
'
tab='	'
newline='
'
caller_locale=${LC_ALL-}
LC_ALL=C # lengths are bytes, ranges are ASCII
export LC_ALL
unset CDPATH
umask 077
root=${DRKIT_ROOT-}
me=$(id -u)

# die STATUS TEXT: nothing could be done and nothing was; there is no object on stdout.
die() {
  printf 'drkit: %s\n' "$2" >&2
  exit "$1"
}

have() {
  command -v "$1" >/dev/null 2>&1
}

run() {
  "$@"
}

# ---- parameters ----

base64_decode() {
  if have base64; then base64 -d; else openssl base64 -d -A; fi
}

base64_encode() {
  if have base64; then base64; else openssl base64; fi
}

# decode TEXT: sets value; false unless TEXT is base64url of something that can be an argument (NUL cannot). The x keeps
# trailing newlines, which a command substitution would drop.
decode() {
  value=
  case $1 in
    -) return 0 ;;
    '' | *[!A-Za-z0-9_=-]*) return 1 ;;
  esac
  bare=${1%%=*}
  case $((${#bare} % 4)) in
    0) padding= ;;
    2) padding='==' ;;
    3) padding='=' ;;
    *) return 1 ;;
  esac
  value=$(printf '%s%s' "$bare" "$padding" | tr '_-' '/+' | base64_decode 2>/dev/null; printf x)
  value=${value%x}
  # A shell drops NUL bytes, and one that counts characters finds fewer than there are bytes: then the long way round.
  [ "${#value}" -eq "$((${#bare} * 3 / 4))" ] ||
    [ "$(printf '%s' "$value" | base64_encode | tr '/+' '_-' | tr -d '=\n')" = "$bare" ]
}

# take "NAME NAME..." "$@": sets each variable NAME to its decoded value. A name beats a place: NAME=value among the
# arguments first, then a variable of that name, then the argument at that place.
take() {
  have base64 || have openssl || die 69 "this host has neither base64 nor openssl"
  names=$1
  shift
  place=0
  for name in $names; do
    place=$((place + 1))
    eval "raw=\${$name:-}"
    named=$raw
    at=0
    for argument in "$@"; do
      at=$((at + 1))
      case $argument in
        "$name="*)
          raw=${argument#*=}
          break
          ;;
        drkit_*=*) ;;
        *) if [ "$at" -eq "$place" ] && [ -z "$named" ]; then raw=$argument; fi ;;
      esac
    done
    [ -n "$raw" ] || die 64 "parameter $name is missing"
    decode "$raw" || die 64 "parameter $name is not base64url text"
    eval "$name=\$value"
  done
}

hex='[0-9A-Fa-f]'
hex4=$hex$hex$hex$hex

is_guid() {
  # shellcheck disable=SC2254  # a pattern is meant
  case $1 in $hex4$hex4-$hex4-$hex4-$hex4-$hex4$hex4$hex4) return 0 ;; esac
  return 1
}

is_hex32() {
  # shellcheck disable=SC2254  # a pattern is meant
  case $1 in $hex4$hex4$hex4$hex4$hex4$hex4$hex4$hex4) return 0 ;; esac
  return 1
}

# lower HEX
lower() {
  printf '%s' "$1" | tr 'A-F' 'a-f'
}

need_nonce() {
  is_hex32 "$2" || die 64 "parameter $1 is not 32 hexadecimal digits"
}

need_flag() {
  case $2 in 0 | 1) ;; *) die 64 "parameter $1 is neither 0 nor 1" ;; esac
}

# need_seconds NAME VALUE MOST
need_seconds() {
  case $2 in
    '' | *[!0-9]* | ?????*) die 64 "parameter $1 is not a number of seconds" ;;
  esac
  if [ "$2" -lt 1 ] || [ "$2" -gt "$3" ]; then die 64 "parameter $1 is not between 1 and $3 seconds"; fi
}

# first_guid: stdin -> its first GUID in lower case, or nothing.
first_guid() {
  tr -c '0-9A-Fa-f-' '\n' | grep -Eo '[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}' | head -n 1 | tr 'A-F' 'a-f'
}

# ---- JSON, in ASCII: what is not ASCII becomes \uXXXX, what is not UTF-8 becomes U+FFFD ----

json_program='
function point(c) {
  size += c < 128 ? 1 : c < 2048 ? 2 : c < 65536 ? 3 : 4
  if (size > max) full = 1
  if (full) return
  if (c == 34) out = out "\\\""
  else if (c == 92) out = out "\\\\"
  else if (c >= 65536) out = out sprintf("\\u%04x\\u%04x", 55296 + int((c - 65536) / 1024), 56320 + (c - 65536) % 1024)
  else if (c < 32 || c > 126) out = out sprintf("\\u%04x", c)
  else out = out sprintf("%c", c)
}
function byte(b) {
  if (need > 0) {
    if (b >= low && b <= high) {
      code = code * 64 + b - 128; low = 128; high = 191; need--
      if (need == 0) point(code)
      return
    }
    need = 0; point(65533)
  }
  low = 128; high = 191
  if (b < 128) point(b)
  else if (b >= 194 && b <= 223) { need = 1; code = b - 192 }
  else if (b >= 224 && b <= 239) { need = 2; code = b - 224; if (b == 224) low = 160; if (b == 237) high = 159 }
  else if (b >= 240 && b <= 244) { need = 3; code = b - 240; if (b == 240) low = 144; if (b == 244) high = 143 }
  else point(65533)
}
{ for (i = 1; i <= NF; i++) byte($i + 0) }
END { if (need > 0) point(65533); if (out != "") printf "\"%s\"", out }'

# json_bytes MOST: byte values in decimal on stdin -> a JSON string of at most MOST bytes of text, or nothing.
json_bytes() {
  awk -v max="$1" "$json_program"
}

# text VALUE MOST: a JSON string of at most MOST bytes of text, or null for the empty value.
text() {
  case $1 in
    '') printf 'null' ;;
    *[!A-Za-z0-9\ ._:/+=@,~-]*) quoted "$1" "$2" ;;
    *) if [ "${#1}" -le "$2" ]; then printf '"%s"' "$1"; else quoted "$1" "$2"; fi ;;
  esac
}

quoted() {
  escaped=$(printf '%s' "$1" 2>/dev/null | head -c 8192 | od -A n -v -t u1 2>/dev/null | json_bytes "$2" 2>/dev/null)
  printf '%s' "${escaped:-null}"
}

begin() {
  object="{\"drkit\":\"$1/1\""
}

field() {
  object="$object,\"$1\":${2:-null}"
}

# ---- processes ----

# stat_of PID: sets parent, session and born (start time in ticks); false for what is gone or a zombie.
stat_of() {
  line=
  { IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null
  [ -n "$line" ] || return 1
  # shellcheck disable=SC2086  # its fields are wanted
  set -- ${line##*) }
  parent=${2-0} session=${4-0} born=${20-0}
  case ${1-Z} in Z | X) return 1 ;; esac
}

boot_id() {
  line=
  { IFS= read -r line </proc/sys/kernel/random/boot_id; } 2>/dev/null
  printf '%s' "${line:-none}"
}

# stamp FILE PID: writes what tells this process from a later one with the same number.
stamp() {
  stat_of "$2" || born=0
  printf '%s %s %s\n' "$2" "$born" "$(boot_id)" >"$1.new" && mv -f "$1.new" "$1"
}

# alive FILE: whether the process that was stamped there still runs; sets stamped.
alive() {
  stamped='' was='' boot=''
  { read -r stamped was boot <"$1"; } 2>/dev/null
  case $stamped in '' | *[!0-9]*) return 1 ;; esac
  [ "$boot" = "$(boot_id)" ] && stat_of "$stamped" && [ "$born" = "$was" ]
}

# family PID: PID, its descendants, and all that share the session it leads, as "pid/born".
family() {
  table=
  for entry in /proc/[0-9]*; do
    stat_of "${entry#/proc/}" && table="$table ${entry#/proc/}/$parent/$session/$born"
  done
  members=" $1 " grown=yes kin=''
  while [ -n "$grown" ]; do
    grown=
    for row in $table; do
      pid=${row%%/*} rest=${row#*/}
      case $members in *" $pid "*) continue ;; esac
      over=${rest%%/*} rest=${rest#*/}
      case "$members" in *" $over "*) ;; *) [ "${rest%%/*}" = "$1" ] || continue ;; esac
      members="$members$pid " grown=yes
    done
  done
  for row in $table; do
    case $members in *" ${row%%/*} "*) kin="$kin ${row%%/*}/${row##*/}" ;; esac
  done
  printf '%s' "$kin"
}

# left PIDS/BORN...: those of them that still run.
left() {
  for one in "$@"; do
    if stat_of "${one%/*}" && [ "$born" = "${one#*/}" ]; then printf ' %s' "$one"; fi
  done
}

# nap: a twentieth of a second where sleep can do that, else a whole one; counts hundredths in waited.
nap() {
  if sleep 0.05 2>/dev/null; then
    waited=$((waited + 5))
  else
    sleep 1
    waited=$((waited + 100))
  fi
}

# halt PID: stops its family, the children it makes meanwhile too, and names them.
halt() {
  halted=
  for _ in 1 2 3 4 5 6 7 8 9; do
    more=
    for one in $(family "$1"); do
      case " $halted " in
        *" $one "*) ;;
        *) kill -STOP "${one%/*}" 2>/dev/null && more="$more $one" ;;
      esac
    done
    [ -n "$more" ] || break
    halted="$halted$more"
  done
  printf '%s' "$halted"
}

# end_family PID: SIGTERM to all of it, SIGKILL to what is there two seconds later. All are halted before, since a parent
# whose child ends first might start another.
end_family() {
  # shellcheck disable=SC2046  # words are wanted
  set -- $(halt "$1")
  for one in "$@"; do kill -TERM "${one%/*}" 2>/dev/null; done
  for one in "$@"; do kill -CONT "${one%/*}" 2>/dev/null; done
  waited=0
  while [ "$waited" -lt 200 ]; do
    # shellcheck disable=SC2046  # words are wanted
    set -- $(left "$@")
    [ "$#" -gt 0 ] || return 0
    nap
  done
  for one in "$@"; do
    for kin in $(halt "${one%/*}"); do kill -KILL "${kin%/*}" 2>/dev/null; done
  done
}

# bounded SECONDS COMMAND [ARG...]: its status; sets timed_out when it and its children had to be ended. A watchdog of our
# own, since busybox's timeout leaves children alive and su moves them out of timeout's process group.
bounded() {
  limit=$1 timed_out=''
  shift
  "$@" &
  job=$!
  (
    trap 'kill "$!" 2>/dev/null; exit 0' TERM
    sleep "$limit" &
    wait "$!"
    trap '' TERM
    end_family "$job"
    exit 99
  ) </dev/null >/dev/null 2>&1 &
  dog=$!
  wait "$job" 2>/dev/null
  status=$?
  kill "$dog" 2>/dev/null
  wait "$dog" 2>/dev/null
  if [ "$?" -eq 99 ]; then timed_out=yes; fi
  return "$status"
}

# ---- users ----

# find_user NAME: sets user, uid, gid, home; false when there is no such user, or we can neither be nor become it.
find_user() {
  user='' uid='' gid='' home=''
  case $1 in '' | *[:"$newline"]*) return 1 ;; esac
  if [ -r "$root/etc/passwd" ]; then
    while IFS=: read -r entry _ id group _ folder _ || [ -n "$entry" ]; do
      if [ "$entry" = "$1" ]; then
        user=$entry uid=$id gid=$group home=$folder
        break
      fi
    done <"$root/etc/passwd"
  fi
  if [ -z "$user" ] && [ -z "$root" ] && have getent; then
    line=$(getent passwd -- "$1" 2>/dev/null | {
      IFS=: read -r entry _ id group _ folder _
      if [ "$entry" = "$1" ]; then printf '%s:%s:%s' "$id" "$group" "$folder"; fi
    })
    if [ -n "$line" ]; then
      user=$1 uid=${line%%:*} line=${line#*:}
      gid=${line%%:*} home=${line#*:}
    fi
  fi
  case $uid in '' | *[!0-9]*) return 1 ;; esac
  case $home in /*) home=${home%/} ;; *) home= ;; esac
  [ "$me" = "$uid" ] || [ "$me" = 0 ]
}

# as_user RUNNER COMMAND [ARG...]: RUNNER is called with the words that run COMMAND as the user, in the user's home and
# with an environment made for that user.
as_user() {
  runner=$1
  shift
  set -- /bin/sh -c 'cd "$HOME" 2>/dev/null || cd /; exec "$@"' sh "$@"
  for setting in https_proxy HTTPS_PROXY http_proxy HTTP_PROXY no_proxy NO_PROXY all_proxy ALL_PROXY LANG; do
    eval "if [ -n \"\${$setting:-}\" ]; then set -- \"$setting=\$$setting\" \"\$@\"; fi"
  done
  if [ -n "$caller_locale" ]; then set -- "LC_ALL=$caller_locale" "$@"; fi
  if [ -d "/run/user/$uid" ]; then # a user's systemd is reached through these
    set -- "XDG_RUNTIME_DIR=/run/user/$uid" "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$uid/bus" "$@"
  fi
  set -- env -i "HOME=${home:-/}" "USER=$user" "LOGNAME=$user" SHELL=/bin/sh TERM=dumb "PATH=$(user_path)" "$@"
  if [ "$me" = "$uid" ]; then
    :
  elif have runuser; then
    set -- runuser -u "$user" -- "$@"
  elif have setpriv && setpriv --reuid=0 --regid=0 --clear-groups true 2>/dev/null; then # busybox's cannot
    set -- setpriv "--reuid=$uid" "--regid=$gid" --init-groups -- "$@"
  else
    set -- su -s /bin/sh -c 'exec "$@"' -- "$user" sh "$@"
  fi
  "$runner" "$@"
}

user_path() {
  printf '%s' "${DRKIT_PATH:+$DRKIT_PATH:}${home:+$home/.local/bin:$home/bin:}$PATH:/opt/vsonline/bin:/usr/local/bin:/usr/bin:/bin"
}

# find_cli: sets cli to the path of the user's codespaces, or of vso.
find_cli() {
  cli=
  for word in codespaces vso; do
    rest=$(user_path):
    while [ -n "$rest" ]; do
      folder=${rest%%:*} rest=${rest#*:}
      case $folder in
        /*) if [ -f "$folder/$word" ] && [ -x "$folder/$word" ]; then
          cli=$folder/$word
          return 0
        fi ;;
      esac
    done
  done
  return 1
}

# ---- the registration ----

# locate SETTING: sets path. What lies in the user's home is only ever touched as that user, so that no link there can
# lead root elsewhere.
locate() {
  path='' keeper=run
  case $1 in
    \~/?*) path=$home/${1#\~/} ;;
    /?*) path=$1 ;;
    *) return 1 ;;
  esac
  if [ -n "$home" ]; then case $path in "$home"/*) keeper='as_user run' ;; esac; fi
}

keep() {
  $keeper "$@"
}

# inspect: sets found (none, empty, file) and found_id (its first GUID, or nothing).
inspect() {
  found_id=$(keep /bin/sh -c 'if [ -f "$1" ] && [ ! -s "$1" ]; then echo empty
    elif [ -f "$1" ]; then echo file; head -c 65536 <"$1"
    elif [ -e "$1" ] || [ -L "$1" ]; then echo file; else echo none; fi' sh "$path" 2>/dev/null | {
    IFS= read -r found
    printf '%s ' "$found"
    first_guid
  })
  found=${found_id%% *} found_id=${found_id#* }
  case $found in
    none | empty | file) ;;
    *) die 77 "cannot run a command as user $user" ;;
  esac
}

# ---- the nonce's folder ----

state_folder() {
  if [ -n "${DRKIT_STATE-}" ]; then
    base=$DRKIT_STATE
  elif [ "$me" = 0 ]; then
    base=/var/lib/drkit
  else
    base=${HOME:-/nowhere}/.local/state/drkit
  fi
  folder_of=$base/$1
}

# claim KIND: makes the folder; false when another delivery has made it. mkdir decides, once.
claim() {
  mkdir -p "$base" 2>/dev/null
  if mkdir "$box" 2>/dev/null; then
    printf '%s\n' "$1" >"$box/kind" && stamp "$box/claim" "$$" && return 0
    rm -f "$box/kind" "$box/claim" "$box/claim.new" && rmdir "$box"
  elif [ -d "$box" ]; then
    return 1
  fi
  die 73 "cannot write in $base"
}

# settle: waits, while the delivery that made the folder is still at it, until its command has a process.
settle() {
  waited=0
  while [ ! -f "$box/pid" ] && alive "$box/claim" && [ "$waited" -lt 500 ]; do nap; done
}

# is_path SETTING
is_path() {
  case $1 in \~/?* | /?*) return 0 ;; esac
  return 1
}

# of_kind KIND: refuses a folder that another script made.
of_kind() {
  waited=0 # the other delivery may be between its mkdir and its stamp
  while [ ! -f "$box/claim" ] && [ "$waited" -lt 200 ]; do nap; done
  made=
  { read -r made <"$box/kind"; } 2>/dev/null
  [ -z "$made" ] || [ "$made" = "$1" ] || die 64 "this nonce belongs to a $made"
}
