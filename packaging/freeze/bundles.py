"""The programs that are frozen, and what each of them leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "aliyun-acr-credential-provider"
REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "build"

# Imported at the top of modules that we ship, for functions that we never call.
NEVER_USED = [
    "_pydecimal",  # decimal in Python, where there is none in C
    "bz2",
    "lzma",
    "tarfile",
    "xml",
    "pdb",
    "pydoc",
    "doctest",
    "unittest",
    "setuptools",
    "distutils",
    "pkg_resources",
    "django",  # diskcache.djangocache
    "pydantic.v1",
    "pydantic.mypy",
    "pydantic.deprecated",
    "email_validator",
    "rich",
    "readline",
    "curses",
    "tkinter",
]
# The same, where there are no event loops, threads' executors and HTTP clients of others to want them.
NEVER_USED_BY_THE_PLUGIN = [
    "ctypes",  # also spares every start PyInstaller's hook for it
    "multiprocessing",
    "concurrent",
    "zipfile",  # shutil's and importlib's archives
]


@dataclass(frozen=True)
class Bundle:
    """One program to freeze."""

    folder: str
    """Its name below build/dist."""
    lock: str
    """The requirements that it is frozen from: packaging/requirements/LOCK.txt."""
    excludes: list[str]
    """Modules that are not in it."""
    packages: list[str]
    """Packages of ours behind doors that open by name (commands/subcommands.py)."""
    real: frozenset[str] = frozenset()
    """Packages that no stub replaces."""
    script: str = ""
    """A script of packaging/freeze that lies beside the program."""

    @property
    def executable(self) -> Path:
        return BUILD / "dist" / self.folder / NAME

    @property
    def work(self) -> Path:
        """Where it is made."""
        return BUILD / ("freeze" if self is PLUGIN else f"freeze-{self.folder}")

    @property
    def inventory(self) -> Path:
        """What it holds, as inventory.py says it."""
        return self.work / "inventory.json"


# What no node runs, and a source that no node has; it alone needs cryptography.
PLUGIN = Bundle(
    folder=NAME,
    lock="freeze",
    excludes=[
        *NEVER_USED,
        *NEVER_USED_BY_THE_PLUGIN,
        "acr_credential_provider.openshift",
        "acr_credential_provider.eci",
        "acr_credential_provider.cluster_doctor",
        "acr_credential_provider.pull_secrets",
        "acr_credential_provider.sources.managed_role",
    ],
    packages=["acr_node_config"],
)
# Both work on a cluster's objects.
CONTROLLER = Bundle(
    folder="controller",
    lock="controller",
    excludes=[*NEVER_USED, "anyio", "acr_node_config"],
    packages=[
        "acr_credential_provider.openshift",
        "acr_credential_provider.eci",
        "acr_credential_provider.cluster_doctor",
        "acr_credential_provider.pull_secrets",
    ],
    real=frozenset({"asyncio", "cryptography"}),
    script="kubectl-acr",
)
BUNDLES = {"plugin": PLUGIN, "controller": CONTROLLER}
