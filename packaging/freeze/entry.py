"""Where the frozen program starts, and where it ends: nothing is imported on the way in, nothing tidied on the way out.

What Python would free, module by module, before it ends, the kernel frees at once: two milliseconds of each answer.
"""

import posix
import sys

from acr_credential_provider.__main__ import main

if __name__ == "__main__":
    code = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # it was closed before we started
                stream.flush()
        except OSError:  # the reader is gone
            code = code or 1
    posix._exit(code)  # noqa: SLF001 - the documented way to end at once
