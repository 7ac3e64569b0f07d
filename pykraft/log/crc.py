"""CRC-32C, from the compiled part of the crc32c package.

The package itself reads its own distribution's metadata when it is imported, which takes 15 ms and 2 MB of
every start; where its compiled part is not found in it, it is imported after all.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder


def _load() -> Callable[[bytes | memoryview], int]:
    package = importlib.util.find_spec("crc32c")
    for folder in (package and package.submodule_search_locations) or ():
        spec = FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec("_crc32c")
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            compiled: Callable[[bytes | memoryview], int] = module.crc32c
            return compiled
    from crc32c import crc32c as imported

    return imported


crc32c = _load()
"""CRC-32C (Castagnoli) of some bytes."""
