"""A name server that knows one name, for roots that have nobody else to ask."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Self

ADDRESS = "127.0.0.77"
STOP = b""


class NameServer:
    """Answers over UDP on `ADDRESS`:53 that *name* is 127.0.0.1 and that nothing else exists; counts the questions."""

    def __init__(self, name: str) -> None:
        self.known = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
        self.questions = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._socket.bind((ADDRESS, 53))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(STOP, (ADDRESS, 53))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while (received := self._socket.recvfrom(512))[0] != STOP:
            query, client = received
            self.questions += 1
            self._socket.sendto(self.answer(query), client)

    def answer(self, query: bytes) -> bytes:
        """Return the response to *query*, as RFC 1035 lays it out."""
        name, rest = query[12:].partition(b"\0")[0] + b"\0", query[12:].partition(b"\0")[2]
        kind = rest[:2]
        is_known = name.lower() == self.known
        records = struct.pack(">HHHIH4s", 0xC00C, 1, 1, 60, 4, socket.inet_aton("127.0.0.1"))
        is_address = is_known and kind == b"\0\1"
        header = query[:2] + struct.pack(">HHHHH", 0x8580 if is_known else 0x8583, 1, is_address, 0, 0)
        return header + name + rest[:4] + (records if is_address else b"")
