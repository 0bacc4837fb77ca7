"""Runs a command as Linux 3.10 would (CentOS 7): `old_kernel.py COMMAND...`. What is newer does not exist for it.

A filter of the kernel's own answers ENOSYS to every system call that came later, EISDIR to `open` without a name
(O_TMPFILE, which 3.10 takes for a folder that is to be written to), EINVAL to `prctl` of what it does not know yet.
`uname` tells a version before 3: OpenSSL goes by it. What OpenSSL then leaves in shared memory (that /dev/urandom was
seeded) is in an IPC namespace that goes with the command. To be run by root.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

# Of <linux/audit.h>, and of the architecture's table: the last of 3.10 (finit_module), openat, prctl.
ARCHITECTURES = {"x86_64": (0xC000003E, 313, 257, 157), "aarch64": (0xC00000B7, 273, 56, 167)}
LAST_PRCTL = 40  # PR_GET_TID_ADDRESS
O_TMPFILE = 0o20000000  # less O_DIRECTORY, which goes with it
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
UNAME26, CLONE_NEWIPC = 0x0020000, 0x08000000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2


def program(audit: int, last: int, openat: int, prctl: int) -> bytes:
    """Return the filter as the kernel's instructions: operation, steps if so, steps if not, operand."""
    allow, enosys, eisdir, einval = 10, 11, 12, 13
    lines = [
        (LOAD, None, None, ARCHITECTURE),
        (EQUAL, 2, allow, audit),
        (LOAD, None, None, NUMBER),
        (AT_LEAST, enosys, 4, last + 1),
        (EQUAL, 6, 5, openat),
        (EQUAL, 8, allow, prctl),
        (LOAD, None, None, ARGUMENTS + 2 * 8),
        (ANY_BIT, eisdir, allow, O_TMPFILE),
        (LOAD, None, None, ARGUMENTS),
        (AT_LEAST, einval, allow, LAST_PRCTL + 1),
        (RETURN, None, None, ALLOW),
        *[(RETURN, None, None, ERRNO | each) for each in (errno.ENOSYS, errno.EISDIR, errno.EINVAL)],
    ]
    return b"".join(
        struct.pack("=HBBI", operation, *((target - at - 1 if target else 0) for target in (so, otherwise)), operand)
        for at, (operation, so, otherwise, operand) in enumerate(lines)
    )


def enter() -> None:
    """Make this process, and all that it becomes, one on an old kernel."""
    code = program(*ARCHITECTURES[platform.machine()])
    buffer = ctypes.create_string_buffer(code, len(code))
    wanted = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    c = ctypes.CDLL(None, use_errno=True)
    c.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong]
    done = (
        c.personality(UNAME26) != -1
        and c.unshare(CLONE_NEWIPC) == 0
        and c.prctl(PR_SET_NO_NEW_PRIVS, 1, None, 0, 0) == 0
        and c.prctl(PR_SET_SECCOMP, FILTER, wanted, 0, 0) == 0
    )
    if not done:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    enter()
    os.execvp(sys.argv[1], sys.argv[1:])
