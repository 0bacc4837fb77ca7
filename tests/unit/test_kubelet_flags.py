"""How the doctor reads a kubelet: against a folder that looks like /proc, and literal configs."""

import json

import pytest
from acr_credential_provider.errors import ConfigurationError
from acr_credential_provider.kubelet_flags import TokenAttributes, closest, find_kubelet, flag, mismatch, read_providers

IMAGE = "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app"


class Proc:
    """A folder like /proc."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, pid, *words, parent=1, cgroup="0::/system.slice/kubelet.service", environ=()):
        folder = self.folder / str(pid)
        folder.mkdir()
        (folder / "cmdline").write_text("".join(f"{word}\0" for word in words))
        (folder / "status").write_text(f"Name:\tx\nPPid:\t{parent}\n")
        (folder / "cgroup").write_text(cgroup + "\n")
        (folder / "environ").write_text("".join(f"{each}\0" for each in environ))
        return self


@pytest.fixture
def proc(tmp_path):
    return Proc(tmp_path)


def found(proc):
    return find_kubelet(str(proc.folder))


def test_the_last_of_a_repeated_flag_holds(proc):
    proc.add(
        7,
        "/usr/bin/kubelet",
        "--image-credential-provider-config=/first",
        "--image-credential-provider-bin-dir=/bin1",
        "--image-credential-provider-config",
        "/last",
        environ=("HTTPS_PROXY=http://p:1", "ODD"),
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
    proc.add(30, "/bin/sh").add(40, "kubelet", "--image-credential-provider-config=/evil", **other)
    assert found(proc) is None
    proc.add(50, "/usr/local/bin/kubelet", "--image-credential-provider-config=/good")
    assert found(proc).config == "/good"


def test_the_kubelet_of_rke2_is_its_child(proc):
    proc.add(10, "/usr/local/bin/rke2 server").add(11, "kubelet", "--image-credential-provider-config=/c", parent=10)
    assert found(proc).config == "/c"


def test_two_kubelets_are_one_too_many(proc):
    proc.add(8, "kubelet").add(9, "/usr/bin/kubelet")
    with pytest.raises(ConfigurationError, match=r"PIDs 8, 9"):
        found(proc)


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
    with pytest.raises(ConfigurationError, match="more than one provider"):
        read_providers(str(tmp_path))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("a: [", "not a YAML"),
        ("[]", "not a YAML"),
        ({"kind": "Config"}, "not kind CredentialProviderConfig"),
        ({**config(), "extra": 1}, "field that the kubelet does not know"),
        ({**config(), "providers": []}, "lists no providers"),
        (config(matchImage=["*"]), "providers[0] has a field"),
        (config(name="a/b"), "providers[0].name"),
        (config(apiVersion="v1"), "providers[0].apiVersion"),
        (config(matchImages=[]), "providers[0].matchImages"),
        (config(matchImages="*.aliyuncs.com"), "providers[0].matchImages"),
        (config(defaultCacheDuration=None), "providers[0].defaultCacheDuration"),
        (config(defaultCacheDuration="1d"), "providers[0].defaultCacheDuration"),
        (config(args="--cache=/c"), "providers[0].args"),
        (config(env=["A=b"]), "providers[0].env"),
        (config(tokenAttributes={"audience": "x"}), "tokenAttributes has a field"),
        (config(tokenAttributes=["x"]), "tokenAttributes has a field"),
        (
            config(tokenAttributes=TOKENS, apiVersion="credentialprovider.kubelet.k8s.io/v1beta1"),
            "tokenAttributes goes with apiVersion",
        ),
        (tokens(serviceAccountTokenAudience=None), "serviceAccountTokenAudience is missing"),
        (tokens(requireServiceAccount=None), "requireServiceAccount is neither"),
        (tokens(cacheType="Pod"), "cacheType is neither"),
        (tokens(optionalServiceAccountAnnotationKeys="a/c"), "not a list of strings"),
        (tokens(optionalServiceAccountAnnotationKeys=["a/b"]), "twice"),
        (tokens(requireServiceAccount=False), "requires annotations, but no ServiceAccount"),
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
    assert f"chmod go-w {path}" in caught.value.remedy


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
    reason = mismatch(pattern, image)
    assert words in reason
    assert bool(reason) == bool(words)


def test_of_several_patterns_the_nearest_is_named():
    patterns = ["*.aliyuncs.com", "*.*.cr.aliyuncs.com/*", "registry.example.com"]
    assert closest(patterns, IMAGE)[0] == "*.*.cr.aliyuncs.com/*"
    assert closest([*patterns, "*.*.cr.aliyuncs.com"], IMAGE) == ("*.*.cr.aliyuncs.com", "")
