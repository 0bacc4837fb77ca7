"""Freezes with PyInstaller, the same bytes each time: `python -m freeze.build [plugin|controller|untrimmed|plain]`.

The first two are the product (bundles.py). The others are what the benchmark compares the plugin with: the
same frozen the way PyInstaller does by default, and an empty program frozen so.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from freeze import inventory, portable
from freeze.bundles import BUILD, BUNDLES, NAME, REPOSITORY, Bundle
from generate import shell_files

FREEZE = Path(__file__).resolve().parent
LOCKS = REPOSITORY / "packaging" / "requirements"
PROVIDER = REPOSITORY / "provider"
NODE_CONFIG = REPOSITORY / "node-config"
STUBS = FREEZE / "stubs"
# What the bytes depend on here, beside hooks and stubs.
INPUTS = (
    *("bundles.py", "entry.py", "build.py", "inventory.py", "launcher.c", "portable.py", "check_stubs.py"),
    f"{NAME}.spec",
    "kubectl-acr",
)

# Imports every module against the stubs once: a name that a stub lacks shows here, not in the frozen program.
SMOKE = """
import importlib, pkgutil, sys
excludes, sys.path[:0] = sys.argv[1].split(","), sys.argv[2:]
import alibabacloud_cr20181201.client, alibabacloud_credentials.client, diskcache, pydantic, yaml
import acr_credential_provider
for module in pkgutil.walk_packages(acr_credential_provider.__path__, "acr_credential_provider."):
    is_left_out = any(f"{module.name}.".startswith(f"{package}.") for package in excludes)
    if not is_left_out and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def product(name: str) -> Path:
    """Freeze the bundle *name* into build/dist, unless nothing changed since it was last done; return its folder.

    What PyInstaller made of it, which runs on this machine's own C library, stays in ``plain`` to compare.
    """
    bundle = BUNDLES[name]
    folder, work = bundle.executable.parent, bundle.work
    plain, build_path, stamp = work / "plain", work / "path", work / "inputs.sha256"
    digest = digest_of_inputs(bundle)
    if folder.is_dir() and stamp.is_file() and stamp.read_text() == digest:
        write_build_info(folder, json.loads(bundle.inventory.read_text()))
        write_shell_files(bundle)
        return folder
    lay_stubs(build_path, real=bundle.real)
    run("-c", SMOKE, ",".join(bundle.excludes), str(build_path), str(PROVIDER))
    stamp.unlink(missing_ok=True)
    pyinstaller(
        "--distpath", str(plain), "--workpath", str(work), str(FREEZE / f"{NAME}.spec"),
        ACR_BUILD_PATH=str(build_path), ACR_BUNDLE=name,
    )  # fmt: skip
    finish(bundle, plain / bundle.folder, build_path)
    write_shell_files(bundle)
    stamp.write_text(digest)
    return folder


def finish(bundle: Bundle, frozen: Path, build_path: Path) -> None:
    """Make the shipped form of PyInstaller's folder *frozen*: portable, with licences and build information."""
    folder = bundle.executable.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    portable.assemble(frozen / NAME, folder)
    if bundle.script:
        shutil.copy(FREEZE / bundle.script, folder)
    contents = json.loads((bundle.work / NAME / "contents.json").read_text())
    parts = inventory.inventory(contents, folder, build_path)
    for path, text in inventory.licence_texts(parts):
        file = folder / "licenses" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    bundle.inventory.write_text(json.dumps(parts, indent=1) + "\n")
    write_build_info(folder, parts)


def write_build_info(folder: Path, parts: dict[str, Any]) -> None:
    """Write the file behind ``--version --output json``. A build does not depend on the commit."""
    info = {name: value for name, value in parts.items() if isinstance(value, str)}
    info |= {"commit": commit(), "packages": {package["name"]: package["version"] for package in parts["packages"]}}
    (folder / "lib" / "build-info.json").write_text(json.dumps(info, indent=1) + "\n")


def write_shell_files(bundle: Bundle) -> None:
    """Write completion and man page. An environment that was made for earlier requirements lacks what makes them."""
    if importlib.util.find_spec("shtab") is None or importlib.util.find_spec("argparse_manpage") is None:
        print("note: neither completion nor man page: make freeze brings this environment up to date")
        return
    sys.path[:0] = [str(PROVIDER), str(NODE_CONFIG)]
    shell_files.write(bundle.executable.parent, is_kubectl=bool(bundle.script))


def commit() -> str:
    """Return this tree's commit, with ``-changed`` if files differ from it; "" outside of a repository."""
    git = ["git", "-C", str(REPOSITORY)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("-changed" if changed.stdout.strip() else "")


def untrimmed() -> Path:
    """Freeze our program with PyInstaller's defaults and the packages as published; return its folder."""
    out = BUILD / "untrimmed"
    pyinstaller(
        "--onedir", "--name", NAME, "--paths", str(PROVIDER), "--paths", str(NODE_CONFIG), "--distpath", str(out),
        "--workpath", str(out / "work"), "--specpath", str(out / "work"), str(FREEZE / "entry.py"),
    )  # fmt: skip
    return out / NAME


def plain() -> Path:
    """Freeze an empty program with PyInstaller's defaults; return its folder."""
    out = BUILD / "plain"
    script = out / "work" / "plain.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("pass\n")
    pyinstaller(
        "--onedir", "--name", "plain", "--distpath", str(out), "--workpath", str(out / "work"),
        "--specpath", str(out / "work"), str(script),
    )  # fmt: skip
    return out / "plain"


def lay_stubs(target: Path, real: frozenset[str] = frozenset()) -> None:
    """Make *target* the folder that the build looks in first; what is in *real* has no stub there.

    A stub package with an ``__init__.py`` at its top replaces the real one. A folder without changes single
    modules only: they are laid over a copy of the real package.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for stub in sorted(STUBS.iterdir()):
        if stub.name == "__pycache__" or stub.name in real:
            continue
        if stub.is_file():
            shutil.copy(stub, target)
            continue
        if not (stub / "__init__.py").is_file():
            spec = importlib.util.find_spec(stub.name)
            if spec is None or spec.origin is None:
                sys.exit(f"error: {stub.name} is not installed\nremedy: make venv")
            shutil.copytree(Path(spec.origin).parent, target / stub.name, ignore=ignore)
            for file in stub.rglob("*.py"):
                if not (target / file.relative_to(STUBS)).is_file():
                    sys.exit(f"error: {file.relative_to(STUBS)} is a stub of nothing: the SDK has no such module")
        shutil.copytree(stub, target / stub.name, ignore=ignore, dirs_exist_ok=True)


def pyinstaller(*arguments: str, **environment: str) -> None:
    """Run PyInstaller so that the same inputs give the same bytes."""
    run(
        "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "WARN", *arguments,
        PYTHONHASHSEED="0",
        SOURCE_DATE_EPOCH="315532800",  # 1980: the first second that a zip archive can hold
        # Modules are stored as they are: unpacking them is a tenth of what a miss computes, and 3 MB on disk.
        PYINSTALLER_ZLIB_COMPRESSION_LEVEL="0",
        PYINSTALLER_CONFIG_DIR=str(BUILD / "freeze" / "cache"),
        **environment,
    )  # fmt: skip


def run(*arguments: str, **environment: str) -> None:
    """Run this Python with *arguments*, free of what the caller's environment would make it import."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([sys.executable, *arguments], env=inherited | environment, check=False)
    if done.returncode:
        sys.exit(f"error: freezing failed ({done.returncode})")


def digest_of_inputs(bundle: Bundle) -> str:
    """Return a digest of everything that the bytes of *bundle* depend on."""
    digest = hashlib.sha256(f"{sys.version} {sys.prefix}".encode())
    files = [*(FREEZE / name for name in INPUTS), LOCKS / f"{bundle.lock}.txt"]
    for root in (FREEZE / "hooks", STUBS, PROVIDER, NODE_CONFIG / "acr_node_config"):
        files += sorted(file for file in root.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    for file in files:
        digest.update(f"{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Freeze the variant of the command line and print its size."""
    variant = sys.argv[1] if len(sys.argv) > 1 else "plugin"
    folder = product(variant) if variant in BUNDLES else {"untrimmed": untrimmed, "plain": plain}[variant]()
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    print(f"{folder.relative_to(REPOSITORY)}: {size / 1e6:.1f} MB in {len(files)} files")


if __name__ == "__main__":
    main()
