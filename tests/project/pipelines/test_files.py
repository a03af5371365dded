"""The committed pipeline against the published schema, and against what no schema sees. Each check is shown to find its mistake."""

from __future__ import annotations

import pytest

from tests.project.pipelines import checks, schema
from tests.project.pipelines.expand import MAIN, expand, files, load

TEMPLATE, STAGES, DRKIT, PREPARE = (f"pipelines/{name}.yml" for name in ("stages", "recovery", "drkit", "prepare"))
MODES = ("check", "drill", "failover", "graceful", "failback")
needs_schema = pytest.mark.skipif(not schema.there(), reason=f"the published schema is not at {schema.PATH}")

APPLIES = "\n                    script: |\n                      drkit apply"

# file, what stands there, what a mistake makes of it, what is said
MEANING = [
    (STAGES, "dependsOn: Check\n", "dependsOn: Checks\n", "depends on Checks"),
    (STAGES, "dependsOn: [Show, Wait]\n", "dependsOn: [Show, Waits]\n", "depends on Waits"),
    (STAGES, "dependsOn: [Show, Wait]\n", "dependsOn: [Show]\n", "recorded before it is given"),
    (STAGES, "dependsOn: [Show, Wait]\n", "dependsOn: [Wait]\n", "asks Show, on which it does not depend"),
    (STAGES, "        dependsOn: Show\n", "", "asked before the runbook was printed"),
    (STAGES, 'drkit show "$file"\n', 'drkit show latest\n', "does not print the bytes"),
    (STAGES, 'if [ "$digest" != "$DIGEST" ]', 'if [ -z "$digest" ]', "does not print the bytes"),
    (STAGES, "dependencies.Show.outputs['show.digest']", "stageDependencies.Plan.Plan.outputs['plan.digest']",
     "not that of what was printed"),
    (STAGES, "dependencies.Show.outputs['show.digest']", "dependencies.Show.outputs['show.digets']", "no output show.digets"),
    (STAGES, "connection: ${{ parameters.approverConnection }}", "connection: ${{ parameters.plannerConnection }}", "show signs in as"),
    (STAGES, "name: ${{ parameters.approverPool }}", "name: ${{ parameters.plannerPool }}", "Approve: runs in"),
    (STAGES, "name: ${{ parameters.operatorPool }}", "name: ${{ parameters.plannerPool }}", "Apply: runs in"),
    (STAGES, "environment: ${{ parameters.environment }}", "environment: other", "Apply: is bound to other"),
    (STAGES, "          ${{ insert }}: ${{ parameters.variables }}\n", "", "has not the template's variables"),
    (TEMPLATE, "operatorPool: drkit-operators", "operatorPool: drkit-planners", "two roles share a pool"),
    (TEMPLATE, "  - name: reason\n", "  - name: approvers\n    type: string\n    default: x\n  - name: reason\n", "the caller may choose"),
    (TEMPLATE, '        BASH_ENV: ""\n', '', "before a script's first line"),
    (TEMPLATE, "REGION: ${{ replace(parameters.region, '$(', '(') }}", "REGION: ${{ parameters.regions }}", "no regions"),
    (DRKIT, '        . "$PIPELINE_WORKSPACE/drkit/pipelines/drkit.sh"\n', "", "takes the environment as it comes"),
    (MAIN, "resources:\n", "variables:\n  - name: PACKAGE\n    value: evil\nresources:\n", "unexpected value PACKAGE"),
    (MAIN, "stages.yml@drkit", "stages.yml@other", "no repository other"),
    (MAIN, "    reason: ${{ parameters.reason }}\n", "    approvers: me\n", "unknown parameters ['approvers']"),
    (STAGES, "dependsOn: [Plan, Approve]", "dependsOn: [Plan]", "does not depend on Approve"),
    (STAGES, "outputs['plan.digest']", "outputs['plan.digets']", "no output Plan.plan.digets"),
    (STAGES, "outputs['Plan.plan.steps']", "outputs['plan.steps']", "no output plan.steps"),
    (STAGES, "stageDependencies.Plan.Plan.outputs['plan.artifact']", "stageDependencies.Plan.Plans.outputs['plan.artifact']", "no output"),
    (STAGES, "eq(dependencies.Approve.result, 'Skipped'), ne(", "eq(dependencies.Approve.result, 'Skipped'), eq(", "without an approval"),
    (STAGES, "or(in(dependencies.Approve.result, 'Succeeded', 'SucceededWithIssues'),", "or(always(),", "without an approval"),
    (STAGES, ", eq(dependencies.Plan.outputs['Plan.plan.run'], ''))", ")", "skipped for a new run"),
    (STAGES, "allowApproversToApproveTheirOwnRuns: false", "allowApproversToApproveTheirOwnRuns: true", "who asks may approve"),
    (STAGES, "              allowApproversToApproveTheirOwnRuns: false\n", "", "who asks may approve"),
    (STAGES, "onTimeout: reject", "onTimeout: resume", "silence is consent"),
    (STAGES, "ManualValidation@1", "Delay@1", "nobody is asked"),
    (STAGES, "        pool: server\n", "        pool:\n          name: ${{ parameters.approverPool }}\n", "agentless"),
    (STAGES, "        environment: ${{ parameters.environment }}\n", "", "no environment"),
    (STAGES, "    lockBehavior: sequential\n", "", "would be cancelled"),
    (MAIN, "lockBehavior: sequential", "lockBehavior: runLatest", "would be cancelled"),
    (STAGES, "artifact: $(plan.artifact)", "artifact: runbook", "does not publish the runbook"),
    (STAGES, '--out "$out/runbook.json"', '--out "$out/other.json"', "writes its runbook elsewhere"),
    (STAGES, 'runbook.json" --digest "$DIGEST" --resume-existing', 'runbook.json" --resume-existing', "by its digest"),
    (STAGES, '--digest "$DIGEST" \\\n', "\\\n", "by its digest"),
    (STAGES, 'drkit apply "$PIPELINE_WORKSPACE', 'drkit apply latest "$PIPELINE_WORKSPACE', "by its digest"),
    (STAGES, "drkit apply", "drkit resume", "never calls drkit apply"),
    (STAGES, "artifact: $(ARTIFACT)\n", "artifact: $(plan.artifact)\n", "$(plan.artifact) is not defined"),
    (STAGES, "Runbook $(DIGEST)", "Runbook $(DIGETS)", "$(DIGETS) is not defined"),
    (STAGES, '--protected-region "$REGION"', '--protected-region "$REGIONS"', "$REGIONS is not in the environment"),
    (STAGES, 'drkit preflight --protected-region "$REGION"', "drkit preflight", "without looking where it runs"),
    (STAGES, "connection: ${{ parameters.approverConnection }}", "connection: ${{ parameters.operatorConnection }}", "approve signs in as"),
    (STAGES, f"connection: ${{{{ parameters.operatorConnection }}}}{APPLIES}",
     f"connection: ${{{{ parameters.plannerConnection }}}}{APPLIES}", "apply signs in as"),
    (STAGES, 'preflight --protected-region "$REGION"', 'preflight --protected-region "${{ parameters.mode }}"', "has text put into it"),
    (STAGES, 'out="$BUILD_ARTIFACTSTAGINGDIRECTORY/runbook"', 'out="$(Build.ArtifactStagingDirectory)/runbook"', "has text put into it"),
    (STAGES, "- template: prepare.yml", "- template: prepared.yml", "no template"),
    (STAGES, "${{ parameters.plannerPool }}", "${{ parameters.pools }}", "no pools"),
    (STAGES, "displayName: drkit apply\n", "displayNames: drkit apply\n", "unknown parameters"),
    (DRKIT, "SYSTEM_ACCESSTOKEN: $(System.AccessToken)", "NOTHING: none", "cannot be renewed"),
    (DRKIT, "addSpnToEnvironment: false", "addSpnToEnvironment: true", "credentials in the environment"),
    (PREPARE, "  - checkout: git://Recovery/drkit@refs/heads/main\n    path: drkit\n    clean: true\n    fetchDepth: 1\n", "",
     "without the template's repository"),
    (PREPARE, "git://Recovery/drkit@refs/heads/main", "self", "without the template's repository"),
    (PREPARE, "  - script: |\n", "  - checkout: self\n  - script: |\n", "checks out something else"),
    (MAIN, "always: true", "always: false", "waits for a commit"),
    (MAIN, 'cron: "30 4 * * *"', 'cron: "30 4 * *"', "no cron of five fields"),
    (MAIN, "displayName: drill", "displayName: exercise", "not scheduled"),
    (MAIN, "trigger: none", "trigger: [main]", "a commit starts it"),
    (TEMPLATE, "AGENTREGION: imds", "AGENTREGION: AccountKey=abc", "looks like a secret"),
    (MAIN, "default: check", "default: chek", "cannot be expanded"),
]  # fmt: skip
FORM = [
    (STAGES, "displayName: Check store and agents", "dispayName: Check", "dispayName"),
    (STAGES, "ManualValidation@1", "ManualValidation@9", "no such task"),
    (STAGES, "notifyUsers:", "notifyUser:", "notifyUser"),
    (STAGES, "onTimeout: reject", "onTimeout: refuse", "refuse"),
    (STAGES, "        strategy:\n", "        strat:\n", "stages/5/jobs/0"),
    (DRKIT, "scriptType: bash", "scriptType: zsh", "zsh"),
    (DRKIT, "azureSubscription:", "azureSubscriptions:", "azuresubscription"),
    (DRKIT, "addSpnToEnvironment: false", "addSpnToEnvironment: perhaps", "perhaps"),
    (MAIN, "lockBehavior: sequential", "lockBehavior: serial", "serial"),
    (MAIN, "lockBehavior: sequential", "lockBehaviour: sequential", "lockBehaviour"),
]


def changed(path: str, old: str, new: str) -> dict[str, str]:
    texts = files()
    assert old in texts[path], "the mutation no longer fits the file"
    return {**texts, path: texts[path].replace(old, new)}


def document(texts: dict[str, str], mode: str) -> dict[str, object]:
    """The expanded pipeline in the shape of the schema."""
    made = expand({"mode": mode}, given=texts)
    return {**made, "variables": [{"name": name, "value": value} for name, value in made["variables"].items()]}


def test_nothing_is_wrong_with_the_committed_files() -> None:
    assert checks.faults(files()) == []


@pytest.mark.parametrize(("path", "old", "new", "said"), MEANING, ids=range(len(MEANING)))
def test_a_mistake_in_meaning_is_found(path: str, old: str, new: str, said: str) -> None:
    found = checks.faults(changed(path, old, new))
    assert any(said in one for one in found), found


@needs_schema
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_fits_the_published_schema(mode: str) -> None:
    assert schema.faults(document(files(), mode)) == []


@needs_schema
def test_the_file_itself_fits_the_published_schema() -> None:
    assert schema.faults(load(files()[MAIN])) == []


@needs_schema
@pytest.mark.parametrize(("path", "old", "new", "said"), FORM, ids=range(len(FORM)))
def test_a_mistake_in_form_is_found(path: str, old: str, new: str, said: str) -> None:
    found = schema.faults(document(changed(path, old, new), "failover"))
    assert any(said in one for one in found), found
