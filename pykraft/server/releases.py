"""What each Kafka release offers on its controller listener: the APIs with their versions.

Source: clients/src/main/resources/common/message/*.json of the releases, the messages whose listeners name
`controller`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from pykraft.protocol.api import ApiKey, release_apis, releases


@cache
def controller_apis(release: str) -> Mapping[ApiKey, tuple[int, int]]:
    """(lowest, highest version) of each API in the order of their keys; a highest version that is not finished in that
    release is left out. `release` is one of pykraft.controller.releases.RELEASES."""
    patch = next(known for known in releases() if known.startswith(f"{release}."))
    return MappingProxyType(
        {
            key: (spec.min_version, spec.max_version - spec.latest_version_unstable)
            for key, spec in sorted(release_apis(patch).items())
            if "controller" in spec.listeners
        }
    )
