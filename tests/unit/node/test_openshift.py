"""What OpenShift's nodes get: parsed as the machine config daemon would, and the guard run in sh."""

import base64
import json
import os
import subprocess
import sys

import pytest
import yaml
from acr_credential_provider.kubelet.config_validation import problems
from acr_credential_provider.model.errors import ConfigurationError
from acr_node_config.commands import render_cli
from acr_node_config.discovery import unit_files
from acr_node_config.model.environment_file import EnvironmentFile
from acr_node_config.placement import openshift, start_guard
from support.kubelet_configs import TOKENS

COVERED = {"matchImages": ["*.*.cr.aliyuncs.com"], "tokenMode": None}
WITH_TOKENS = {**COVERED, "tokenMode": {"matchImages": ["team.example.com"], "tokenAttributes": TOKENS}}
BASE = """# /etc/systemd/system/kubelet.service
[Unit]
Description=Kubernetes Kubelet
[Service]
Type=notify
ExecStartPre=/bin/mkdir --parents /etc/kubernetes/manifests
Environment="KUBELET_LOG_LEVEL=2"
EnvironmentFile=/etc/os-release
EnvironmentFile=-/etc/kubernetes/kubelet-env
ExecStart=/usr/local/bin/kubenswrapper \\
    /usr/bin/kubelet \\
      --config=/etc/kubernetes/kubelet.conf \\
      --node-labels=node-role.kubernetes.io/worker,node.openshift.io/os_id=${ID} \\
      --hostname-override=${KUBELET_NODE_NAME} \\
      --v=${KUBELET_LOG_LEVEL}
Restart=always
"""
ON_PREMISE = BASE.replace("--v=${KUBELET_LOG_LEVEL}", f"${openshift.ON_PREMISE} \\\n      --v=${{KUBELET_LOG_LEVEL}}")
AZURE = BASE.replace("--v=", "--image-credential-provider-bin-dir=/usr/libexec/x --v=")


def rendered(unit=BASE, covered=COVERED, version=(1, 32)):
    found = openshift.machine_config(covered, unit, role="worker", version=version)
    (document,) = yaml.safe_load_all(openshift.text(found))
    assert document == found.documents[0]
    return document, found.notes


def files(document):
    found = {}
    for each in document["spec"]["config"]["storage"]["files"]:
        kind, _, data = each["contents"]["source"].partition(",")
        assert kind == "data:text/plain;charset=utf-8;base64"
        found[each["path"]] = base64.b64decode(data), each["mode"]
    return found


def drop_in(document):
    (unit,) = document["spec"]["config"]["systemd"]["units"]
    (found,) = unit["dropins"]
    assert unit["name"] == "kubelet.service"
    return found["contents"].encode()


def test_it_is_a_machine_config_of_the_pool():
    document, _ = rendered()
    assert (document["apiVersion"], document["kind"]) == ("machineconfiguration.openshift.io/v1", "MachineConfig")
    assert document["metadata"]["labels"] == {"machineconfiguration.openshift.io/role": "worker"}
    assert document["spec"]["config"]["ignition"]["version"] == "3.2.0"
    modes = {path: mode for path, (_, mode) in files(document).items()}
    assert modes == {openshift.CONFIG: 0o644, openshift.GUARD: 0o755}
    assert all(path.startswith("/etc/kubernetes/credential-providers/") for path in modes)


@pytest.mark.parametrize(("covered", "version"), [(COVERED, (1, 27)), (WITH_TOKENS, (1, 34)), (WITH_TOKENS, (1, 33))])
def test_the_kubelet_would_start_with_its_configuration(covered, version):
    document, notes = rendered(covered=covered, version=version)
    config, _ = files(document)[openshift.CONFIG]
    names = [each["name"] for each in yaml.safe_load(config)["providers"]]
    assert not problems({"c": config}, version, is_directory=False, executables=names)
    assert any("1.34" in note for note in notes) == (version == (1, 33))


def test_where_the_unit_has_no_hook_its_command_is_kept_word_by_word_and_gets_one():
    document, notes = rendered()
    before = unit_files.parse([BASE.encode()])
    after = unit_files.parse([BASE.encode(), drop_in(document)])
    assert after.command == (*before.command, f"${start_guard.VARIABLE}")
    assert after.environment == before.environment
    assert after.files == (*before.files, (start_guard.FLAGS_FILE, True))
    assert any("after each upgrade" in note for note in notes)


def test_where_it_has_one_the_command_is_left_alone():
    document, notes = rendered(ON_PREMISE)
    after = unit_files.parse([ON_PREMISE.encode(), drop_in(document)])
    assert after.command == unit_files.parse([ON_PREMISE.encode()]).command
    assert openshift.ON_PREMISE.encode() in files(document)[openshift.GUARD][0]
    assert not any("after each upgrade" in note for note in notes)


def test_what_a_node_has_of_us_already_makes_no_difference():
    document, _ = rendered()
    assert rendered(BASE + "\n# drop-in\n" + drop_in(document).decode())[0] == document


@pytest.mark.parametrize(
    ("unit", "words", "remedy"), [(AZURE, "of its own", "controller"), ("[Service]\n", "no ExecStart", "systemctl cat")]
)
def test_a_platform_with_its_own_provider_is_refused(unit, words, remedy):
    with pytest.raises(ConfigurationError) as caught:
        rendered(unit)
    assert words in caught.value.problem
    assert remedy in caught.value.remedy


class Guarded:
    """The guard in a folder in the place of the node's root; *restarts* is what systemctl says of the kubelet."""

    def __init__(self, folder, restarts="0", *, has_token_provider=False):
        self.folder = folder
        script = openshift.guard_script(start_guard.VARIABLE, has_token_provider=has_token_provider)
        for place in ("/var/lib/", "/run/", "/etc/"):
            script = script.replace(place, f"{folder}{place}")
        self.script = script.replace("PATH=/usr/sbin", f"PATH={folder}/stub:/usr/sbin")
        self.flags_file = folder / start_guard.FLAGS_FILE.lstrip("/")
        self.write("/stub/systemctl", f'#!/bin/sh\necho "{restarts}"\n', 0o755)
        self.program = f"{openshift.BIN_DIR}/aliyun-acr-credential-provider"

    def write(self, path, text, mode):
        file = self.folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def complete(self):
        self.write(self.program, "#!/bin/sh\nexit 0\n", 0o755)
        self.write(openshift.CONFIG, "x", 0o644)
        return self

    def flags(self, **environment):
        ran = subprocess.run(
            ["/bin/sh", "-c", self.script], env=environment, capture_output=True, check=False, timeout=60
        )
        assert ran.stderr == b""
        if not self.flags_file.exists():
            return None
        found = EnvironmentFile.parse(self.flags_file.read_bytes()).value(start_guard.VARIABLE)
        return found.replace(str(self.folder), "").split()


GIVEN = [
    f"--image-credential-provider-config={openshift.CONFIG}",
    f"--image-credential-provider-bin-dir={openshift.BIN_DIR}",
]


def test_the_kubelet_gets_both_flags_when_all_is_there_again_and_again(tmp_path):
    guarded = Guarded(tmp_path).complete()
    assert guarded.flags() == GIVEN
    assert guarded.flags(**{start_guard.VARIABLE: " ".join(GIVEN).replace("/var", f"{tmp_path}/var")}) == GIVEN


@pytest.mark.parametrize("missing", ["program", "config", "both"])
def test_the_kubelet_starts_without_what_is_not_there_and_without_flags_of_yesterday(tmp_path, missing):
    guarded = Guarded(tmp_path).complete()
    assert guarded.flags() == GIVEN
    if missing in ("program", "both"):
        (tmp_path / guarded.program.lstrip("/")).unlink()
    if missing in ("config", "both"):
        (tmp_path / openshift.CONFIG.lstrip("/")).unlink()
    assert guarded.flags() is None


def test_a_program_that_does_not_run_here_is_as_none(tmp_path):
    guarded = Guarded(tmp_path).complete()
    guarded.write(guarded.program, "no program\n", 0o755)
    assert guarded.flags() is None
    guarded.write(guarded.program, "#!/bin/sh\nexit 3\n", 0o755)
    assert guarded.flags() is None


def test_tokens_need_the_second_program(tmp_path):
    guarded = Guarded(tmp_path, has_token_provider=True).complete()
    assert guarded.flags() is None
    guarded.write(f"{guarded.program}-token", "", 0o755)
    assert guarded.flags() == GIVEN


def test_a_kubelet_that_keeps_failing_is_started_without_the_plugin(tmp_path):
    assert Guarded(tmp_path, restarts="2").complete().flags() == GIVEN
    assert Guarded(tmp_path, restarts="3").complete().flags() is None


def test_another_provider_in_the_same_variable_is_left_in_peace(tmp_path):
    guarded = Guarded(tmp_path).complete()
    assert guarded.flags(**{start_guard.VARIABLE: "--image-credential-provider-bin-dir=/usr/libexec/x"}) is None


def test_a_read_only_run_folder_costs_the_plugin_only(tmp_path):
    guarded = Guarded(tmp_path).complete()
    guarded.write("/run", "in the way", 0o644)
    ran = subprocess.run(["/bin/sh", "-c", guarded.script], env={}, capture_output=True, check=False, timeout=60)
    assert ran.returncode != 0  # which the unit ignores
    assert not guarded.flags_file.exists()


@pytest.mark.parametrize("tokens", [False, True])
def test_the_guard_is_clean_posix_sh(tmp_path, tokens):
    script = tmp_path / "guard"
    script.write_text(openshift.guard_script(start_guard.VARIABLE, has_token_provider=tokens))
    checker = os.path.join(os.path.dirname(sys.executable), "shellcheck")
    ran = subprocess.run([checker, "--shell=sh", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_the_disruption_policy_spares_the_reboot():
    found = openshift.disruption_policy()
    (unit,) = found.documents[0]["spec"]["nodeDisruptionPolicy"]["units"]
    assert [each["type"] for each in unit["actions"]] == ["DaemonReload", "Restart"]
    assert "do not replace" in found.notes[0]


def test_the_daemonset_alone_may_run_privileged():
    space, binding = openshift.security_context("acr", "agent").documents
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert binding["roleRef"]["name"] == "system:openshift:scc:privileged"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "agent", "namespace": "acr"}]


def test_the_command_line_asks_the_plugin_what_the_settings_cover(tmp_path, capsys):
    settings = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{"instanceId": "cri-1", "domains": ["images.example.com"], "identity": {"kind": "nodeRole"}}],
    }
    (tmp_path / "settings.yaml").write_text(json.dumps(settings))
    (tmp_path / "settings.yaml").chmod(0o600)
    (tmp_path / "unit").write_text(BASE)
    words = ["openshift", "--unit", str(tmp_path / "unit"), "--settings", str(tmp_path / "settings.yaml")]
    assert render_cli.run([*words, "--kubernetes", "1.32", "--role", "infra"]) == 0
    document = yaml.safe_load(capsys.readouterr().out)
    assert document["metadata"]["name"] == "99-infra-aliyun-acr-credential-provider"
    config = yaml.safe_load(files(document)[openshift.CONFIG][0])
    assert config["providers"][0]["matchImages"] == ["images.example.com"]


def test_without_a_unit_nothing_is_guessed():
    with pytest.raises(ConfigurationError) as caught:
        render_cli.run(["openshift"])
    assert "systemctl cat kubelet" in caught.value.remedy


@pytest.mark.parametrize("part", ["disruption-policy", "scc"])
def test_the_other_parts_need_no_node(part, capsys):
    assert render_cli.run(["openshift", "--part", part]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out))


COMMENTS = ("# a comment", "; another", "    # with blanks before it", "#")


@pytest.mark.parametrize("comment", COMMENTS)
def test_a_comment_between_continued_lines_does_not_end_the_command(comment):
    unit = f"[Service]\nExecStart=/usr/bin/kubelet \\\n  --a=1 \\\n{comment}\n  --b=2\n"
    rendered = openshift.machine_config(COVERED, unit, role="worker", version=(1, 34))
    (drop_in,) = rendered.documents[0]["spec"]["config"]["systemd"]["units"][0]["dropins"]
    assert unit_files.parse([drop_in["contents"].encode()]).command == (
        "/usr/bin/kubelet", "--a=1", "--b=2", "$ALIYUN_ACR_CREDENTIAL_PROVIDER_FLAGS"
    )  # fmt: skip


@pytest.mark.parametrize("flag", ["image_credential_provider_config", "image-credential_provider-bin-dir"])
def test_a_provider_that_is_spelt_with_underscores_is_seen(flag):
    with pytest.raises(ConfigurationError, match="of its own"):
        openshift.machine_config(COVERED, f"[Service]\nExecStart=/k --{flag}=/x\n", role="worker", version=(1, 34))
