# shellcheck shell=bash
# Every script of the pipelines sources this file. An agent passes every variable of a pipeline to every script, and they take precedence
# over the `env` of the step. So the programs started here get the variables below and no others. HOME and PATH are set here too. The proxy
# is the template's, because the variables of a job take precedence over those of its pipeline.

set -eu
unset HOME
HOME=~ # without HOME, bash asks the system for the home of the account
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LANG=C.UTF-8
TF_BUILD=True
export HOME PATH LANG TF_BUILD

drkit_repository=$PIPELINE_WORKSPACE/drkit
drkit_kept=' HOME PATH LANG TF_BUILD DRKIT_TARGETS HTTPS_PROXY NO_PROXY SYSTEM_ACCESSTOKEN SYSTEM_OIDCREQUESTURI
 AZURESUBSCRIPTION_CLIENT_ID AZURESUBSCRIPTION_TENANT_ID AZURESUBSCRIPTION_SERVICE_CONNECTION_ID '

clean() ( # runs a command with the environment above
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

drkit() { # runs a command of drkit with its arguments; settings and store come from the template repository
  drkit_command=$1
  shift
  clean "$drkit_program" "$drkit_command" --config "$drkit_repository/drkit.toml" "$@"
}
