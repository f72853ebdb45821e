"""One SIP message as it is read off the wire."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SipMessage:
    start_line: str
    headers: list[tuple[str, str]]
    body: str

    @classmethod
    def parse(cls, datagram: bytes) -> SipMessage:
        head, _, body = datagram.decode(errors="replace").partition("\r\n\r\n")
        start_line, *lines = head.split("\r\n")
        pairs = [line.partition(":")[::2] for line in lines]
        return cls(start_line, [(name.strip().lower(), value.strip()) for name, value in pairs], body)

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header == name]

    def __getitem__(self, name: str) -> str:
        return self.all(name)[0]
