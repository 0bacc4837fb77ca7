"""Makes a frozen folder run on any Linux: with the C library it was built with, started by launcher.c.

docs/decisions/ says why so, and what is changed in the bundled C library: nothing but which files of the host it reads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.c")
PROGRAM = "program"  # the bootloader, which launcher.c has the bundled loader start
FLAGS = [
    *("-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-fPIE", "-nostdlib", "-static-pie"),
    *(
        "-ffreestanding",
        "-fno-stack-protector",
        "-fno-asynchronous-unwind-tables",
        "-fno-tree-loop-distribute-patterns",
    ),
    "-Wl,-z,noexecstack,-z,norelro,-z,text,--build-id=none,--no-dynamic-linker",
]
# What of the C library a program may ask for. Anything else that is not in the folder is missing from it.
C_LIBRARY = frozenset(
    {"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libutil.so.1"}
)


def assemble(program: Path, bundle: Path) -> None:
    """Write the portable form of the frozen *program* and its folder to *bundle*, in place of what is there."""
    fresh = bundle.with_name(f".{bundle.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(program.parent, fresh, symlinks=True)
    library, executable = fresh / "lib", fresh / program.name
    archive = fresh / "archive"
    run("objcopy", "--dump-section", f"pydata={archive}", executable, library / PROGRAM)
    run("objcopy", "--remove-section", "pydata", library / PROGRAM)
    (library / PROGRAM).chmod(0o755)
    detach(library)
    run("gcc", *FLAGS, "-s", "-o", executable, LAUNCHER)
    if "There are no relocations" not in run("readelf", "--relocs", executable):
        sys.exit("error: the launcher needs relocations, which nothing applies at its start")
    run("objcopy", "--add-section", f"pydata={archive}", executable)
    archive.unlink()
    shutil.rmtree(bundle, ignore_errors=True)
    fresh.rename(bundle)


def detach(library: Path) -> None:
    """Put into *library* the loader and what its files ask of the C library, and keep both off the host's files."""
    triplet = run("gcc", "-print-multiarch").strip()
    loader = f"ld-linux-{triplet.partition('-')[0].replace('_', '-')}.so"
    waiting = [file for file in sorted(library.rglob("*")) if is_elf(file)]
    while waiting:
        file = waiting.pop()
        for name in needed(file):
            if (library / name).exists():
                continue
            if name not in C_LIBRARY and not name.startswith(loader):
                sys.exit(f"error: {file.name} needs {name}, which is neither in the bundle nor of the C library")
            shutil.copy(of_c_library(name), library / name)
            waiting.append(library / name)
    (loader_file,) = library.glob(f"{loader}.*")
    loader_file.chmod(0o755)
    # What is meant for the host's C library would end, or worse, not end this one: libraries that are put into every
    # process, libraries found in the host's folders, modules for name services and character sets.
    hide(loader_file, ["/etc/ld.so.preload", "/etc/ld.so.cache"])
    hide(loader_file, [f"/lib/{triplet}/", f"/usr/lib/{triplet}/", "/lib/", "/usr/lib/"])
    # Without it, names are looked up in "files", then "dns": both are part of the C library since 2.34.
    hide(library / "libc.so.6", ["/etc/nsswitch.conf"])
    # Modules of character sets are code; locales are data, but of another version. The "C" one is built in.
    hide(library / "libc.so.6", [f"/usr/lib/{triplet}/gconv", "/usr/lib/locale", "/usr/share/locale"], and_below=True)
    # The host's openssl.cnf may name modules that only the host's OpenSSL can load, and make them the only ones.
    hide(library / "libcrypto.so.3", ["/usr/lib/ssl", f"/usr/lib/{triplet}/"], and_below=True)


def of_c_library(name: str) -> Path:
    """Return the path of *name*, a file of this machine's C library."""
    return Path(run("gcc", f"-print-file-name={name}").strip())


def hide(file: Path, paths: list[str], *, and_below: bool = False) -> None:
    """Make *file* look for each of *paths*, or for everything below it, where nothing is.

    The first letter becomes a control character: the length stays, and no such folder exists in any root.
    """
    data = file.read_bytes()
    for path in paths:
        text = b"\0" + path.encode() + (b"" if and_below else b"\0")
        if text not in data:
            sys.exit(f"error: {file.name} does not hold {path}: look at what this version of it reads of the host")
        data = data.replace(text, text[:2] + b"\1" + text[3:])
    file.write_bytes(data)


def is_elf(file: Path) -> bool:
    """True if *file* is an ELF file."""
    if not file.is_file() or file.is_symlink():
        return False
    with file.open("rb") as start:
        return start.read(4) == b"\x7fELF"


def needed(file: Path) -> list[str]:
    """Return the names of the libraries that the ELF *file* asks for."""
    lines = run("objdump", "--private-headers", file).splitlines()
    return [line.split()[1] for line in lines if line.split()[:1] == ["NEEDED"]]


def run(*words: str | Path) -> str:
    """Run a tool of the build; return what it wrote, or end the build."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode:
        sys.exit(f"error: {words[0]} failed: {done.stderr.strip()}")
    return done.stdout
