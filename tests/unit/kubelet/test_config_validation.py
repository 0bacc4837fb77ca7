"""Our rules against the table that kubelets' own code is held against too (tests/cluster/e2e)."""

import pytest
from acr_credential_provider.kubelet.config_validation import CONFIG_VERSIONS, problems
from support import kubelet_configs
from support.kubelet_configs import CASES, PROGRAMS

VERSIONS = ((1, 30), (1, 33), (1, 34), (1, 36))


def judged(case, version):
    return problems(case.files, version, is_directory=case.is_directory, executables=PROGRAMS)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"{version[0]}.{version[1]}")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name[:60])
def test_what_a_kubelet_would_not_start_with_is_a_problem_and_nothing_else_is(case, version):
    found = judged(case, version)
    expected = case.starts(version) and not case.is_stricter
    assert (not found) == expected, [str(each) for each in found]
    for each in found:
        assert each.problem
        assert each.remedy
        assert each.line >= 1


@pytest.mark.parametrize("case", [each for each in CASES if each.since == (1, 34)], ids=lambda case: case.name)
def test_of_an_unknown_kubelet_only_what_all_take_passes(case):
    if not case.is_directory:  # it reads that folder now, so it is new enough for folders
        assert judged(case, None)


def test_a_problem_names_file_line_and_field():
    text = kubelet_configs.YAML.replace("0s", "1d").encode()
    (problem,) = problems({"/etc/p.yaml": text}, (1, 34), is_directory=False, executables=PROGRAMS)
    assert str(problem) == "/etc/p.yaml, line 6: providers[0].defaultCacheDuration is not a duration such as 0s"


def test_what_came_with_1_26_is_refused_before():
    text = {"p": kubelet_configs.YAML.encode()}
    fields = [each.field for each in problems(text, (1, 25), is_directory=False, executables=PROGRAMS)]
    assert fields == ["apiVersion", "providers[0].apiVersion"]
    assert not problems(text, (1, 26), is_directory=False, executables=PROGRAMS)


def test_no_value_is_repeated_in_a_problem():
    text = kubelet_configs.YAML.replace("*.example.com", "user:s3cret@host").encode()
    (problem,) = problems({"p": text}, (1, 34), is_directory=False, executables=PROGRAMS)
    assert "s3cret" not in str(problem) + problem.remedy


HEAD = """\
kind: CredentialProviderConfig
providers:
  - name: p
    matchImages: [x.example.com]
    defaultCacheDuration: 0s
    apiVersion: credentialprovider.kubelet.k8s.io/v1
"""


@pytest.mark.parametrize(
    ("version", "words"), [((1, 30), "from 1.32 on"), ((1, 31), "from 1.32 on"), ((1, 32), "this")]
)
def test_a_field_that_nobody_knows_stops_only_kubelets_from_1_32_on(version, words):
    text = f"apiVersion: {CONFIG_VERSIONS[0]}\n{HEAD}    note: x\n"
    (problem,) = problems({"c.yaml": text.encode()}, version, is_directory=False, executables={"p"})
    assert words in problem.problem


@pytest.mark.parametrize("version", CONFIG_VERSIONS[1:])
def test_token_attributes_need_the_files_own_version_and_the_remedy_says_so(version):
    tokens = "    tokenAttributes: {serviceAccountTokenAudience: a, cacheType: Token, requireServiceAccount: true}\n"
    text = f"apiVersion: {version}\n{HEAD}{tokens}"
    (problem,) = problems({"c.yaml": text.encode()}, (1, 34), is_directory=False, executables={"p"})
    assert CONFIG_VERSIONS[0] in problem.remedy
    followed = text.replace(version, CONFIG_VERSIONS[0])
    assert not problems({"c.yaml": followed.encode()}, (1, 34), is_directory=False, executables={"p"})
