"""Paths of the node, as the kernel reads them."""


def tidy(path: str) -> str:
    """Return *path* without doubled and trailing slashes and parts that are a dot.

    >>> tidy("/opt//bin/./"), tidy("bin/"), tidy("/"), tidy("")
    ('/opt/bin', 'bin', '/', '')
    """
    return "/" * path.startswith("/") + "/".join(part for part in path.split("/") if part not in ("", "."))
