"""systemd's own readers, in the library that its programs share."""

from __future__ import annotations

import ctypes
import functools
import glob


class Systemd:
    """The library at *path*."""

    def __init__(self, path):
        self.path = path
        self._library = ctypes.CDLL(path)
        self._load = self._library.load_env_file
        self._load.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.POINTER(ctypes.c_char_p))]

    def load(self, path):
        """Return the assignments of the environment file at *path*, None if systemd refuses it."""
        found = ctypes.POINTER(ctypes.c_char_p)()
        if self._load(None, str(path).encode(), ctypes.byref(found)) < 0:
            return None
        lines, at = [], 0
        while found and found[at]:
            lines.append(found[at])
            at += 1
        if found:
            self._library.strv_free(found)
        return dict(line.split(b"=", 1) for line in lines)

    @property
    def has_words(self):
        """True if `words` works: from systemd 254 on, the function has other arguments."""
        return self.path.endswith("-252.so")

    def words(self, word, variables):
        """Return what becomes of *word* of a command line, given the *variables* (bytes by name)."""
        pairs = [name + b"=" + value for name, value in variables.items()]
        replaced = self._library.replace_env_argv
        replaced.restype = ctypes.POINTER(ctypes.c_char_p)
        replaced.argtypes = [ctypes.POINTER(ctypes.c_char_p)] * 2
        found = replaced((ctypes.c_char_p * 2)(word, None), (ctypes.c_char_p * (len(pairs) + 1))(*pairs, None))
        words, at = [], 0
        while found and found[at] is not None:
            words.append(found[at])
            at += 1
        return words


@functools.cache
def find():
    """Return this machine's, None if systemd is not on it."""
    folders = ("/usr/lib/*/systemd", "/usr/lib/systemd")
    paths = [path for folder in folders for path in glob.glob(f"{folder}/libsystemd-shared-*.so")]
    return Systemd(max(paths)) if paths else None
