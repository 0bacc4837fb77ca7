"""Runs a command while a file system that never answers is mounted: `hung_mount.py FOLDER COMMAND...` (root only).

It is a FUSE server (linux/fuse.h) that says hello and then nothing more, as a dead NFS server or a lost disk does.
Run it in a mount namespace of its own.
"""

import ctypes
import os
import struct
import subprocess
import sys

INIT = 26
HEADER = struct.Struct("IIQQIIII")


def say_hello(device):
    """Answer the first request. The next ones stay unread: what waits for one that was read, not even SIGKILL ends."""
    request = os.read(device, 1 << 20)
    _, opcode, unique, *_ = HEADER.unpack_from(request)
    assert opcode == INIT
    body = struct.pack("IIIIHHIIHH8I", 7, 23, 0, 0, 0, 0, 4096, 1, 0, 0, *[0] * 8)
    os.write(device, struct.pack("IiQ", 16 + len(body), 0, unique) + body)


def main():
    folder, *command = sys.argv[1:]
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hung", folder.encode(), b"fuse", 0, options):
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    say_hello(device)
    code = subprocess.run(command, check=False).returncode
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)  # ends the mount too


if __name__ == "__main__":
    main()
