"""Stands in for systemctl on a node whose one unit is the kubelet's: shows it as systemd does, starts and stops it."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time

UNIT = "/etc/systemd/system/kubelet.service"
PID = "/run/kubelet.pid"


def lines(key):
    with open(UNIT) as file:
        return re.findall(rf"^{key}=(.+)$", file.read(), re.MULTILINE)


def pid():
    try:
        with open(PID) as file:
            found = int(file.read())
        os.kill(found, 0)
    except (OSError, ValueError):
        return 0
    return found


def environment():
    found = {}
    for name in lines("EnvironmentFile"):
        try:
            with open(name.removeprefix("-")) as file:
                assignments = [line.strip() for line in file if "=" in line and line[:1] != "#"]
        except OSError:
            continue
        for variable, _, value in (each.partition("=") for each in assignments):
            found[variable] = " ".join(shlex.split(value))
    return found


def start():
    words, known = [], environment()
    for word in lines("ExecStart")[0].split():
        words += known.get(word[1:], "").split() if word.startswith("$") else [word]
    started = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(PID, "w") as file:
        file.write(str(started.pid))


def stop():
    if found := pid():
        os.kill(found, signal.SIGKILL)
        while os.path.exists(f"/proc/{found}/exe") and os.access(f"/proc/{found}/maps", os.R_OK) and is_alive(found):
            time.sleep(0.01)
        os.remove(PID)


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def show(names, unit):
    command = lines("ExecStart")[0]
    files = [
        f"EnvironmentFiles={each.removeprefix('-')} (ignore_errors={'yes' if each[0] == '-' else 'no'})"
        for each in lines("EnvironmentFile")
    ]
    is_kubelet = unit.startswith("kubelet")
    known = {
        "ActiveState": "active" if is_kubelet and pid() else "inactive",
        "MainPID": str(pid() if is_kubelet else 0),
        "NRestarts": "0",
        "Result": "success",
        "ExecStart": f"{{ path=/usr/bin/kubelet ; argv[]={command} ; ignore_errors=no }}" if is_kubelet else "",
    }
    for name in names:
        if name == "EnvironmentFiles" and is_kubelet:
            print("\n".join(files))
        else:
            print(f"{name}={known.get(name, '')}")


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--") or word.startswith("--property")]
    verb, unit = next((word for word in words if word[0] != "-"), ""), words[-1]
    if verb == "show":
        names = next(word.partition("=")[2] for word in words if word.startswith("--property")).split(",")
        show(names, unit if unit[0] != "-" and unit != "show" else "")
    elif verb == "cat":
        with open(UNIT) as file:
            print(f"# {UNIT}\n{file.read()}")
    elif verb in ("start", "stop", "restart") and unit.startswith("kubelet"):
        if verb != "start":
            stop()
        if verb != "stop" and not pid():
            start()


if __name__ == "__main__":
    main()
