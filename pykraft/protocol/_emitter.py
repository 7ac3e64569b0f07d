"""Collects the lines of a reader or writer that is being made."""

from __future__ import annotations

import struct
from typing import Final

from pykraft.protocol._layout import FIXED
from pykraft.protocol._message import AnyStruct

ITEM_SIZE: Final = {char: struct.calcsize(">" + char) for char in FIXED.values()}


class Emitter:
    """Lines of code, and the packers they use, which are made once, before the function."""

    def __init__(self, version: int, flexible: bool) -> None:
        self.version = version
        self.flexible = flexible
        self.lines: list[str] = []
        self.indent = 1
        self.packers: dict[str, str] = {}

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    def packer(self, fmt: str, method: str) -> str:
        made = f'Packer(">{fmt}").{method}'
        return self.packers.setdefault(made, f"s{len(self.packers)}")

    def arrays(self, before: str, char: str, behind: str, method: str) -> str:
        made = f'Arrays("{before}", "{char}", "{behind}", "{method}")'
        return self.packers.setdefault(made, f"arrays{len(self.packers)}")

    def runs(self, kind: str, cls: type[AnyStruct]) -> str:
        made = f"{kind}({cls.__name__}, {self.version}, {self.flexible}).{kind.removesuffix('Runs').lower()}"
        return self.packers.setdefault(made, f"runs{len(self.packers)}")

    def finish(self, head: str) -> str:
        consts = [f"{name} = {made}" for made, name in self.packers.items()]
        return "\n".join([*consts, "", "", head, *self.lines, ""])
