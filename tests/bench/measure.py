"""Times commands as the kernel accounts for them; a process of its own, because it must be small.

A child's peak memory counts that of the process it was started from, so nothing is
imported here. Reads one JSON-less plan from argv: a Python literal, and prints another.

    {"rounds": 15, "commands": {"hit": [[argv...], "stdin file", ["path to empty first", ...]]}}
"""

import posix
import sys
import time


def run(argv, stdin, environment):
    """Return wall seconds, CPU seconds, and peak memory in KiB of one run; exit if it fails."""
    began = time.perf_counter()
    pid = posix.fork()
    if pid == 0:
        posix.dup2(posix.open(stdin, posix.O_RDONLY), 0)
        posix.dup2(posix.open("/dev/null", posix.O_WRONLY), 1)
        posix.execve(argv[0], argv, environment)
    _, status, used = posix.wait4(pid, 0)
    wall = time.perf_counter() - began
    if status != 0:
        sys.exit(f"{argv[0]} ended with status {status}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss


def empty(folder):
    """Remove the files in *folder* that may be removed between runs."""
    try:
        names = posix.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        posix.unlink(f"{folder}/{name}")


def main():
    plan = eval(sys.argv[1])
    environment = dict(posix.environ)
    results = {name: [] for name in plan["commands"]}
    for _ in range(plan["rounds"]):
        for name, (argv, stdin, to_empty) in plan["commands"].items():
            for folder in to_empty:
                empty(folder)
            results[name].append(run(argv, stdin, environment))
    print(results)


main()
