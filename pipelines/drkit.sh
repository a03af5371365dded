# shellcheck shell=bash
# Sourced by every script of the pipelines. An agent hands every variable of a pipeline to every script, before what the step's own
# `env` says: so what is started here gets the names below and no others. Not even HOME and PATH are taken as they come; the proxy is the
# template's, since a job's own variables win over those of its pipeline.

set -eu
unset HOME
HOME=~ # with no HOME, bash asks the system for the account's own
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LANG=C.UTF-8
TF_BUILD=True
export HOME PATH LANG TF_BUILD

drkit_repository=$PIPELINE_WORKSPACE/drkit
drkit_kept=' HOME PATH LANG TF_BUILD DRKIT_TARGETS HTTPS_PROXY NO_PROXY SYSTEM_ACCESSTOKEN SYSTEM_OIDCREQUESTURI
 AZURESUBSCRIPTION_CLIENT_ID AZURESUBSCRIPTION_TENANT_ID AZURESUBSCRIPTION_SERVICE_CONNECTION_ID '

clean() ( # a command, with the environment above
  for name in $(compgen -e); do
    case $drkit_kept in
      *[[:space:]]"$name"[[:space:]]*) ;;
      *) export -n "${name?}" ;;
    esac
  done
  for name in $(compgen -A function); do export -nf "${name?}"; done
  exec "$@"
)

drkit_program=$DRKIT_IN_IMAGE
[ -x "$drkit_program" ] || drkit_program=$AGENT_TEMPDIRECTORY/drkit/bin/drkit # where prepare.yml puts it

drkit() { # a command of drkit and its arguments; settings and store are those of the template's repository
  drkit_command=$1
  shift
  clean "$drkit_program" "$drkit_command" --config "$drkit_repository/drkit.toml" "$@"
}
