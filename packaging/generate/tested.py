"""Writes what was tested, from docs/tested-with.md, into both READMEs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARKED = re.compile(
    r"(?<=<!-- tested: from docs/tested-with\.md by packaging/generate/tested\.py -->\n).*?(?=<!-- /tested -->)",
    re.DOTALL,
)
WORDS = {
    "README.md": (
        ("tested on {date}", "with"),
        ("a whole cluster, with images pulled", "Kubernetes {kubernetes}, containerd {containerd}"),
        ("the kubelet's credential provider code", "Kubernetes {kubelets}"),
    ),
    "README.zh-CN.md": (
        ("{date} 测试的对象", "版本"),
        ("完整集群和真实的镜像拉取", "Kubernetes {kubernetes}、containerd {containerd}"),
        ("kubelet 的凭据提供程序代码", "Kubernetes {kubelets}"),
    ),
}


def facts(page: str) -> dict[str, str]:
    """Return the versions that *page*, docs/tested-with.md, names.

    >>> facts('''Last run: 2026-01-02, Debian, kernel 6, x86_64, 2 CPUs, cgroup v1.
    ... | kubelet | 1.36.3 | Go modules |
    ... | containerd | 1.6.20~ds1 | package |
    ... | v1.30.14, v1: a promise | passed | 0.2 |
    ... | v1.36.3, v1: a promise | passed | 0.2 |''')["kubelets"]
    '1.30.14, 1.36.3'
    """
    run = re.search(r"^Last run: ([\d-]+), ", page, re.MULTILINE)
    if run is None:
        raise ValueError("docs/tested-with.md does not say when the last run was")
    parts = dict(re.findall(r"^\| (\S+) \| (\S+) \| [^|]* \|$", page, re.MULTILINE))
    kubelets = dict.fromkeys(re.findall(r"^\| v(\d\S*?)[,:] .*\| passed \|", page, re.MULTILINE))
    return {
        "date": run[1],
        "kubernetes": parts["kubelet"],
        "containerd": parts["containerd"].partition("~")[0],
        "kubelets": ", ".join(kubelets),
    }


def with_tested(name: str, text: str, page: str) -> str:
    """Return *text*, the README *name*, with what *page* says was tested."""
    head, *body = (f"| {' | '.join(row)} |" for row in WORDS[name])
    table = "\n".join([head, "|---|---|", *body]).format(**facts(page))
    written, count = MARKED.subn(lambda _: f"\n{table}\n\n", text)
    if count != 1:
        raise ValueError(f"{name} has no place for what was tested")
    return written


def main() -> None:
    page = (ROOT / "docs/tested-with.md").read_text()
    for name in WORDS:
        path = ROOT / name
        path.write_text(with_tested(name, path.read_text(), page))


if __name__ == "__main__":
    main()
