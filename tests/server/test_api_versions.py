"""ApiVersions as the releases of Kafka answer it, and the registry that it is derived from."""

from __future__ import annotations

from importlib import import_module

import pytest
import trio

from pykraft.controller.releases import RELEASES
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.api_versions_response import ApiVersionsResponseData
from pykraft.server.node import Node
from pykraft.server.registry import HANDLER_MODULES, HANDLERS
from pykraft.server.releases import controller_apis
from pykraft.testing import serve_controller
from tests.server.client import connected, header

REQUEST = ApiVersionsRequestData(client_software_name="apache-kafka-java", client_software_version="3.9.1")


def test_the_module_table_is_what_the_modules_register() -> None:
    for module in set(HANDLER_MODULES.values()):
        import_module(f"pykraft.server.handlers.{module}")
    registered = {key: entry.handle.__module__.rpartition(".")[2] for key, entry in HANDLERS.items()}
    assert registered == HANDLER_MODULES


def test_every_api_of_every_release_has_a_handler() -> None:
    assert set().union(*(controller_apis(release) for release in RELEASES)) == set(HANDLER_MODULES)


# What the released controllers answered: key, then versions by release; "-" is not offered, "=" as in the one before.
OFFERED = """
    3.4  3.5  3.6  3.7  3.8  3.9  4.0  4.1
1   0-13 0-15 =    0-16 =    0-17 4-17 4-18
7   0-3  =    =    =    =    =    -    -
17  0-1  =    =    =    =    =    =    =
18  0-3  =    =    =    =    0-4  =    =
19  0-7  =    =    =    =    =    2-7  =
20  0-6  =    =    =    =    =    1-6  =
29  0-3  =    =    =    =    =    1-3  =
30  0-3  =    =    =    =    =    1-3  =
31  0-3  =    =    =    =    =    1-3  =
32  -    -    -    0-4  =    =    1-4  =
33  0-2  =    =    =    =    =    =    =
36  0-2  =    =    =    =    =    =    =
37  0-3  =    =    =    =    =    =    =
38  -    -    0-3  =    =    =    1-3  =
39  -    -    0-2  =    =    =    1-2  =
40  -    -    0-2  =    =    =    1-2  =
41  -    -    0-3  =    =    =    1-3  =
43  0-2  =    =    =    =    =    =    =
44  0-1  =    =    =    =    =    =    =
45  0-0  =    =    =    =    =    =    0-1
46  0-0  =    =    =    =    =    =    =
49  0-1  =    =    =    =    =    =    =
50  -    0-0  =    =    =    =    =    =
51  -    0-0  =    =    =    =    =    =
52  0-0  =    =    =    =    0-1  0-2  =
53  0-0  =    =    =    =    0-1  =    =
54  0-0  =    =    =    =    0-1  =    =
55  0-1  =    =    =    =    0-2  =    =
56  0-2  0-3  =    =    =    =    2-3  =
57  0-1  =    =    =    =    =    0-2  =
58  0-0  =    =    =    =    =    =    =
59  0-0  =    =    =    =    0-1  =    =
60  -    -    -    0-1  =    =    0-2  =
62  0-1  =    =    0-3  =    0-4  =    =
63  0-0  =    =    0-1  =    =    =    =
64  0-0  =    =    =    =    =    =    =
67  0-0  =    =    =    =    =    =    =
70  -    -    -    0-0  =    =    =    =
73  -    -    -    0-0  =    =    =    =
80  -    -    -    -    -    0-0  =    =
81  -    -    -    -    -    0-0  =    =
82  -    -    -    -    -    0-0  =    =
"""


def offered(release: str) -> dict[int, tuple[int, int]]:
    heads, *rows = (row.split() for row in OFFERED.strip("\n").splitlines())
    found = {}
    for key, *cells in rows:
        column = heads.index(release)
        while cells[column] == "=":
            column -= 1
        if cells[column] != "-":
            low, high = cells[column].split("-")
            found[int(key)] = int(low), int(high)
    return found


KRAFT = {"kraft.version": (0, 1)}
FEATURES_4 = {
    **KRAFT,
    "group.version": (0, 1),
    "transaction.version": (0, 2),
    "eligible.leader.replicas.version": (0, 1),
}
SUPPORTED = {
    "3.4": ((1, 8), {}),
    "3.5": ((1, 11), {}),
    "3.6": ((1, 14), {}),
    "3.7": ((1, 19), {}),
    "3.8": ((1, 20), {}),
    "3.9": ((1, 21), KRAFT),
    "4.0": ((7, 25), FEATURES_4),
    "4.1": ((7, 27), {**FEATURES_4, "share.version": (0, 1)}),
}


@pytest.mark.parametrize("release", RELEASES)
async def test_a_release_offers_what_its_own_controller_does(release: str, nursery: trio.Nursery) -> None:
    node = await serve_controller(nursery, release=release)
    (low, high), others = SUPPORTED[release]
    highest = controller_apis(release)[ApiKey.API_VERSIONS][1]
    async with connected(node) as client:
        for version in range(highest + 1):
            answer = await client.ask(REQUEST, version)
            listed = {each.api_key: (each.min_version, each.max_version) for each in answer.api_keys}
            assert listed == offered(release)
            supported = {each.name: (each.min_version, each.max_version) for each in answer.supported_features}
            finalized = {each.name: each.max_version_level for each in answer.finalized_features}
            if version < 3:
                assert supported == finalized == {}
                continue
            assert supported == {"metadata.version": (low, high), **(others if version >= 4 else {})}
            if release in ("3.4", "3.5"):
                assert (finalized, answer.finalized_features_epoch) == ({}, -1)
            elif release in ("4.0", "4.1"):
                others_on = {} if release == "4.0" else {"eligible.leader.replicas.version": 1}
                levels = {"metadata.version": high, "group.version": 1, "transaction.version": 2}
                assert finalized == levels | others_on
                assert answer.finalized_features_epoch == (5 if release == "4.0" else 7)
            else:
                assert (finalized, answer.finalized_features_epoch) == ({"metadata.version": high}, 4)


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
async def test_it_lists_apis_and_features(node: Node, version: int) -> None:
    async with connected(node) as client:
        answer = await client.ask(REQUEST, version)
    assert answer.error_code == ErrorCode.NONE
    keys = [each.api_key for each in answer.api_keys]
    assert keys == sorted(offered("3.9"))
    supported = {each.name: (each.min_version, each.max_version) for each in answer.supported_features}
    if version < 3:
        assert supported == {}
    elif version == 3:
        assert supported == {"metadata.version": (1, 21)}
    else:
        assert supported == {"metadata.version": (1, 21), "kraft.version": (0, 1)}
    if version >= 3:
        finalized = {each.name: (each.min_version_level, each.max_version_level) for each in answer.finalized_features}
        assert finalized == {"metadata.version": (21, 21)}
        assert answer.finalized_features_epoch == 4
        assert answer.zk_migration_ready is False


async def test_a_newer_version_gets_v0_with_the_one_entry_a_client_needs(node: Node) -> None:
    async with connected(node) as client:
        # A body that no version known here has: it is not looked at.
        await client.send(header(ApiKey.API_VERSIONS, 5, 9).encode(2) + b"\x01\x02\x03\x04\x05\x06\x07")
        response_header, header_version, answer = decode_response(await client.receive(), ApiKey.API_VERSIONS, 0)
        assert isinstance(answer, ApiVersionsResponseData)
        assert (response_header.correlation_id, header_version) == (9, 0)
        assert answer.error_code == ErrorCode.UNSUPPORTED_VERSION
        assert [(e.api_key, e.min_version, e.max_version) for e in answer.api_keys] == [(18, 0, 4)]
        assert (await client.ask(REQUEST, 4)).error_code == ErrorCode.NONE


@pytest.mark.parametrize(("name", "version"), [("", "1"), ("a b", "1"), ("-a", "1"), ("a", "1.")])
async def test_software_names_outside_the_pattern_are_refused(node: Node, name: str, version: str) -> None:
    async with connected(node) as client:
        request = ApiVersionsRequestData(client_software_name=name, client_software_version=version)
        assert (await client.ask(request, 3)).error_code == ErrorCode.INVALID_REQUEST
        assert (await client.ask(request, 2)).error_code == ErrorCode.NONE


async def test_the_client_id_may_be_null(node: Node) -> None:
    async with connected(node) as client:
        await client.send(encode_request(header(ApiKey.API_VERSIONS, 0, 1, None), ApiVersionsRequestData()))
        answer = decode_response(await client.receive(), ApiKey.API_VERSIONS, 0)[2]
        assert isinstance(answer, ApiVersionsResponseData)
        assert answer.error_code == ErrorCode.NONE
