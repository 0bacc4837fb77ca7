"""The parts of every stub: names that can be imported, and that fail when they are used."""


class LeftOutError(RuntimeError):
    """A part that is not in the frozen program was used after all: a stub has become wrong."""

    def __init__(self, what):
        super().__init__(
            f"{what} is not part of this program: the frozen build carries a stub for it (packaging/freeze/stubs)"
        )


class LeftOut:
    """Base of a left-out class: it may be named, subclassed and tested for, never made."""

    def __init__(self, *_args, **_kwargs):
        kind = type(self)
        raise LeftOutError(f"{kind.__module__}.{kind.__qualname__}")


def left_out(what):
    """Return a function that may be named and never called."""

    def call(*_args, **_kwargs):
        raise LeftOutError(what)

    call.__name__ = call.__qualname__ = what.rpartition(".")[2]
    return call
