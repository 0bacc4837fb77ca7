"""How the doctor reads a kubelet: against a folder that looks like /proc, and literal configs."""

import json
import os

import pytest
from acr_credential_provider.kubelet.credential_provider_config import TokenAttributes, read_providers
from acr_credential_provider.kubelet.image_match import closest, explain_mismatch
from acr_credential_provider.kubelet.process import find_kubelet, flag
from acr_credential_provider.model.errors import ConfigurationError

UNIT, NO_UNIT = "0::/system.slice/kubelet.service", "0::/kubelet.slice"
IMAGE = "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app"


class Proc:
    """A node's root with a /proc in it, whose PID 1 has the namespaces of this process."""

    def __init__(self, root):
        self.root, self.folder = root, root / "proc"
        self.namespaces(1)

    def namespaces(self, pid, **others):
        folder = self.folder / str(pid) / "ns"
        folder.mkdir(parents=True)
        for kind in ("user", "mnt"):
            (folder / kind).symlink_to(others.get(kind, f"/proc/self/ns/{kind}"))

    def program(self, path, mode=0o755):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\x7fELF")
        file.chmod(mode)
        return file

    def add(self, pid, *words, parent=1, cgroup=UNIT, environ=(), uids=(0, 0, 0, 0), exe="", **others):
        self.namespaces(pid, **others)
        folder = self.folder / str(pid)
        (folder / "cmdline").write_text("".join(f"{word}\0" for word in words))
        (folder / "status").write_text("Name:\tx\nPPid:\t{}\nUid:\t{}\t{}\t{}\t{}\n".format(parent, *uids))
        (folder / "cgroup").write_text(cgroup + "\n")
        (folder / "environ").write_text("".join(f"{each}\0" for each in environ))
        if exe is not None:
            path = exe or f"/usr/bin/{words[0].split(' ')[0].rpartition('/')[2]}"
            if not exe:
                self.program(path)
            (folder / "exe").symlink_to(path)
        return self


@pytest.fixture
def proc(tmp_path):
    return Proc(tmp_path)


def found(proc, **main):
    return find_kubelet(str(proc.folder), root=str(proc.root), main_pid=lambda unit: main.get(unit.split(".")[0], 0))


def test_the_last_of_a_repeated_flag_holds(proc):
    proc.add(
        7,
        "/usr/bin/kubelet",
        "--image-credential-provider-config=/first",
        "--image-credential-provider-bin-dir=/bin1",
        "--image-credential-provider-config",
        "/last",
        environ=("HTTPS_PROXY=http://p:1", "ODD", "OPENSSL_CONF=/evil", "LD_PRELOAD=/evil", "PYTHONPATH=/", "TOKEN=x"),
    )
    kubelet = found(proc)
    assert (kubelet.pid, kubelet.config, kubelet.bin_dir) == (7, "/last", "/bin1")
    assert kubelet.environ == {"HTTPS_PROXY": "http://p:1"}
    assert "http://p:1" not in repr(kubelet)


def test_a_kubelet_that_was_started_from_outside_of_a_node_that_is_a_container_is_found(proc):
    proc.add(7, "/usr/bin/kubelet", "--kubeconfig", "/etc/kubernetes/kubelet.conf", parent=0)
    assert (found(proc).pid, found(proc).kubeconfig) == (7, "/etc/kubernetes/kubelet.conf")


@pytest.mark.parametrize(
    "other",
    [
        {"parent": 30},
        {"cgroup": "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-1.scope"},
        {"cgroup": "12:pids:/kubepods/besteffort/pod1/2"},
    ],
    ids=["a shell's child", "a pod's, systemd cgroups", "a pod's, cgroup v1"],
)
def test_a_process_that_only_calls_itself_kubelet_is_none(proc, other):
    proc.add(30, "/bin/sh", cgroup="0::/user.slice/user-0.slice/session-1.scope")
    proc.add(40, "kubelet", "--image-credential-provider-config=/evil", **other)
    assert found(proc) is None
    proc.add(50, "/usr/local/bin/kubelet", "--image-credential-provider-config=/good")
    assert found(proc).config == "/good"


def test_a_kubelet_that_a_script_of_its_unit_started_is_found_and_must_be_roots_too(proc):
    proc.add(30, "/bin/sh", "/usr/local/bin/start-kubelet").add(31, "/bin/sh", parent=30)
    proc.add(40, "/usr/bin/kubelet", "--image-credential-provider-config=/c", parent=31)
    assert (found(proc).pid, found(proc).program) == (40, "/usr/bin/kubelet")
    proc.program("/usr/bin/kubelet", 0o775)
    assert found(proc) is None


def test_the_kubelet_of_rke2_is_its_child(proc):
    proc.add(10, "/usr/local/bin/rke2 server", exe="/usr/local/bin/rke2").add(
        11, "kubelet", "--image-credential-provider-config=/c", parent=10
    )
    assert found(proc).config == "/c"


def test_two_kubelets_are_one_too_many_where_nothing_tells_them_apart(proc):
    proc.add(8, "kubelet").add(9, "/usr/bin/kubelet")
    with pytest.raises(ConfigurationError, match=r"PIDs 8, 9"):
        found(proc)


def test_of_two_kubelets_the_one_in_a_kubelets_unit_is_the_nodes(proc):
    proc.add(8, "kubelet", cgroup=NO_UNIT).add(9, "/usr/bin/kubelet")
    assert (found(proc).pid, found(proc).unit) == (9, "kubelet.service")


def test_of_two_kubelets_in_one_unit_systemds_main_process_is_the_nodes(proc):
    proc.add(8, "kubelet").add(9, "/usr/bin/kubelet")
    assert found(proc, kubelet=9).pid == 9


def test_k3s_in_its_unit_comes_before_a_kubelet_that_is_in_none(proc):
    k3s = "0::/system.slice/k3s.service"
    proc.add(8, "kubelet", cgroup=NO_UNIT).add(9, "/usr/bin/k3s server", exe="/usr/bin/k3s", cgroup=k3s)
    proc.program("/usr/bin/k3s")
    assert found(proc).unit == "k3s.service"


HIDDEN = "/nowhere"  # a link that leads nowhere: what may not be seen
ANOTHER = "/proc/self/ns/net"
STRANGERS = {
    "a user's": {"uids": (65534,) * 4},
    "a user's by its real uid": {"uids": (1000, 0, 0, 0)},
    "a user's by its saved uid": {"uids": (0, 0, 1000, 0)},
    "a user's in a unit of theirs": {"uids": (1000,) * 4, "cgroup": UNIT},
    "root of another user namespace": {"user": ANOTHER},
    "root of another user namespace, in the unit": {"user": ANOTHER, "cgroup": UNIT},
    "root of a pod that sees the node's processes": {"mnt": ANOTHER},
    "a pod's, as its neighbour sees it": {"cgroup": "0::/../../pod1b4e28ba-2fa1-11d2-883f-0016d3cca427/x"},
    "root's, whose namespaces cannot be seen": {"user": HIDDEN, "mnt": HIDDEN},
    "root's, whose program cannot be seen": {"exe": None},
    "root's, which is no program of a kubelet": {"exe": "/usr/bin/python3"},
}


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("name", ["kubelet", "k3s server"])
def test_a_stranger_is_no_kubelet_and_stands_in_no_kubelets_way(proc, stranger, name):
    proc.program("/usr/bin/python3")
    stranger = {"cgroup": NO_UNIT, **STRANGERS[stranger]}
    proc.add(40, name, "--image-credential-provider-config=/evil", environ=("HTTPS_PROXY=evil",), **stranger)
    assert found(proc) is None
    proc.add(50, "/usr/bin/kubelet", "--image-credential-provider-config=/good")
    assert found(proc).config == "/good"


def test_the_same_process_counts_when_nothing_is_strange_about_it(proc):
    proc.add(40, "kubelet", cgroup=NO_UNIT)
    assert found(proc).pid == 40


def test_a_user_who_calls_a_service_of_theirs_kubelet_has_no_unit(proc):
    proc.add(40, "kubelet", cgroup="0::/user.slice/user-1000.slice/user@1000.service/app.slice/kubelet.service")
    assert found(proc).unit == ""
    (proc.folder / "40/exe").unlink()
    assert found(proc) is None


def test_where_programs_and_namespaces_cannot_be_seen_the_unit_tells(proc):
    proc.add(40, "kubelet", exe=None, user=HIDDEN, mnt=HIDDEN)
    assert (found(proc).pid, found(proc).program) == (40, "")


def test_a_kubelet_whose_unit_has_mounts_of_its_own_is_one(proc):
    proc.add(40, "kubelet", mnt=ANOTHER)
    assert found(proc).pid == 40


def test_hyperkube_is_a_kubelet_only_when_it_runs_as_one(proc):
    proc.add(40, "/usr/bin/hyperkube", "kubelet", "--image-credential-provider-config=/c")
    proc.add(41, "/usr/bin/hyperkube", "proxy", "--image-credential-provider-config=/d")
    assert found(proc).config == "/c"


def spoil_file(file):
    file.chmod(0o775)


def give_file_away(file):
    os.chown(file, 1000, 0)


def spoil_folder(file):
    file.parent.chmod(0o777)


def give_folder_away(file):
    os.chown(file.parent.parent, 1000, 1000)


def set_user(file):
    file.chmod(0o4755)


def hop_over_a_users_link(file):
    file.rename(file.parent / "real")
    file.symlink_to("real")
    os.lchown(file, 1000, 1000)


def lead_out_of_the_root(file):
    file.unlink()
    file.symlink_to("../../../../../../usr/bin/env")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")
@pytest.mark.parametrize("cgroup", [UNIT, NO_UNIT])
@pytest.mark.parametrize(
    "spoil",
    [spoil_file, give_file_away, spoil_folder, give_folder_away, set_user, hop_over_a_users_link, lead_out_of_the_root],
)
def test_a_process_whose_program_others_can_change_is_no_kubelet(proc, spoil, cgroup):
    program = proc.program("/opt/deep/down/kubelet")
    for folder in ("opt", "opt/deep", "opt/deep/down"):
        (proc.root / folder).chmod(0o755)
    proc.add(40, "kubelet", exe="/opt/deep/down/kubelet", cgroup=cgroup)
    assert found(proc).program == "/opt/deep/down/kubelet"
    spoil(program)
    assert found(proc) is None
    proc.add(50, "/usr/bin/kubelet", cgroup=cgroup)
    assert found(proc).pid == 50


def test_a_kubelet_that_was_replaced_while_it_runs_is_judged_by_what_is_there_now(proc):
    proc.add(40, "kubelet", exe="/usr/bin/kubelet (deleted)", cgroup=NO_UNIT)
    assert found(proc) is None  # nothing is there, and nothing tells whose it was
    proc.program("/usr/bin/kubelet")
    assert found(proc).program == "/usr/bin/kubelet"


def test_where_nothing_runs_there_is_none(proc):
    assert found(proc) is None
    assert find_kubelet("/nowhere") is None


def test_a_flag_at_the_very_end_has_no_value():
    assert flag(["kubelet", "--a"], "a") == ""


PROVIDER = {
    "name": "aliyun-acr-credential-provider",
    "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
    "matchImages": ["*.*.cr.aliyuncs.com"],
    "defaultCacheDuration": "0s",
}


TOKENS = {
    "serviceAccountTokenAudience": "sts.aliyuncs.com",
    "cacheType": "ServiceAccount",
    "requireServiceAccount": True,
    "requiredServiceAccountAnnotationKeys": ["a/b"],
    "optionalServiceAccountAnnotationKeys": ["a/c"],
}


def tokens(**changes):
    return config(tokenAttributes={name: value for name, value in {**TOKENS, **changes}.items() if value is not None})


def config(**changes):
    provider = {name: value for name, value in {**PROVIDER, **changes}.items() if value is not None}
    return {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [provider]}


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    path.chmod(0o644)
    return str(path)


def test_a_config_is_read_from_a_file_as_yaml_or_json(tmp_path):
    document = config(args=["--cache=/c"], env=[{"name": "A", "value": "b"}], tokenAttributes=TOKENS)
    (provider,) = read_providers(write(tmp_path / "config.yaml", document))
    assert (provider.args, provider.env) == (("--cache=/c",), {"A": "b"})
    assert provider.token == TokenAttributes("sts.aliyuncs.com", is_required=True, required=("a/b",), optional=("a/c",))


def test_tokens_without_a_cache_type_are_those_of_a_kubelet_1_33(tmp_path):
    (provider,) = read_providers(write(tmp_path / "config.yaml", tokens(cacheType=None)))
    assert provider.token is not None


def test_a_folder_of_configs_is_read_in_order_of_names(tmp_path):
    write(tmp_path / "20.yaml", config(name="second"))
    write(tmp_path / "10.json", config(name="first"))
    write(tmp_path / "30.bak", "no config")
    assert [each.name for each in read_providers(str(tmp_path))] == ["first", "second"]


def test_an_empty_folder_and_a_name_given_twice_are_refused_as_the_kubelet_does(tmp_path):
    with pytest.raises(ConfigurationError, match="has no"):
        read_providers(str(tmp_path))
    write(tmp_path / "1.yaml", config())
    write(tmp_path / "2.yaml", config())
    with pytest.raises(ConfigurationError, match="of a provider before it"):
        read_providers(str(tmp_path))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("a: [", "is not YAML"),
        ("[]", "is no mapping"),
        ({"kind": "Config"}, "kind is not CredentialProviderConfig"),
        ({**config(), "extra": 1}, "extra is a field that this kubelet does not know"),
        ({**config(), "providers": []}, "providers lists none"),
        (config(matchImage=["*"]), "providers[0].matchImage is a field"),
        (config(name="a/b"), "providers[0].name"),
        (config(apiVersion="v1"), "providers[0].apiVersion"),
        (config(matchImages=[]), "providers[0].matchImages"),
        (config(matchImages="*.aliyuncs.com"), "providers[0].matchImages"),
        (config(defaultCacheDuration=None), "providers[0].defaultCacheDuration"),
        (config(defaultCacheDuration="1d"), "providers[0].defaultCacheDuration"),
        (config(args="--cache=/c"), "providers[0].args"),
        (config(env=["A=b"]), "providers[0].env"),
        (config(tokenAttributes={"audience": "x"}), "tokenAttributes.audience is a field"),
        (config(tokenAttributes=["x"]), "tokenAttributes is no mapping"),
        (
            config(tokenAttributes=TOKENS, apiVersion="credentialprovider.kubelet.k8s.io/v1beta1"),
            "tokenAttributes goes with apiVersion",
        ),
        (tokens(serviceAccountTokenAudience=None), "serviceAccountTokenAudience is missing"),
        (tokens(requireServiceAccount=None), "requireServiceAccount is missing"),
        (tokens(cacheType="Pod"), "cacheType is neither"),
        (tokens(optionalServiceAccountAnnotationKeys="a/c"), "optionalServiceAccountAnnotationKeys is not a list"),
        (tokens(optionalServiceAccountAnnotationKeys=["a/b"]), "both required and optional"),
        (tokens(requireServiceAccount=False), "needs requireServiceAccount: true"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_the_kubelet_would_not_start_with_is_named(tmp_path, document, words):
    path = write(tmp_path / "config.yaml", document)
    with pytest.raises(ConfigurationError) as caught:
        read_providers(path)
    assert words in caught.value.problem
    assert "restart the kubelet" in caught.value.remedy


def test_a_config_that_others_can_change_is_named(tmp_path):
    path = write(tmp_path / "config.yaml", config())
    (tmp_path / "config.yaml").chmod(0o666)
    with pytest.raises(ConfigurationError) as caught:
        read_providers(path)
    assert f"Leave {path} as it is" in caught.value.remedy


@pytest.mark.parametrize(
    ("pattern", "image", "words"),
    [
        ("*.*.cr.aliyuncs.com", IMAGE, ""),
        ("demo-*.cn-hangzhou.cr.aliyuncs.com/team", IMAGE, ""),
        ("demo-registry.cn-hangzhou.cr.aliyuncs.com/te", IMAGE, ""),
        ("*.aliyuncs.com", IMAGE, "3 labels"),
        ("*.*.cr.aliyuncs.com/*", IMAGE, "literally"),
        ("*.*.cr.aliyuncs.com/other", IMAGE, "not below /other"),
        ("*.*.cr.aliyuncs.com:443", IMAGE, "port"),
        ("*.cn-beijing.cr.aliyuncs.com", IMAGE, "cn-beijing"),
        ("127.0.0.1:5000", "127.0.0.1:5000/a", ""),
        ("host:x", IMAGE, "HOST[:PORT]"),
    ],
)
def test_images_are_matched_as_the_kubelet_does_and_a_mismatch_is_explained(pattern, image, words):
    reason = explain_mismatch(pattern, image)
    assert words in reason
    assert bool(reason) == bool(words)


def test_of_several_patterns_the_nearest_is_named():
    patterns = ["*.aliyuncs.com", "*.*.cr.aliyuncs.com/*", "registry.example.com"]
    assert closest(patterns, IMAGE)[0] == "*.*.cr.aliyuncs.com/*"
    assert closest([*patterns, "*.*.cr.aliyuncs.com"], IMAGE) == ("*.*.cr.aliyuncs.com", "")
