"""ApiVersions as Kafka 3.9 answers it, and the registry that it is derived from."""

from __future__ import annotations

from importlib import import_module

import pytest

from pykraft.controller.features import SUPPORTED_FEATURES
from pykraft.protocol.api import ApiKey, spec
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.frame import decode_response, encode_request
from pykraft.protocol.messages.api_versions_request import ApiVersionsRequestData
from pykraft.protocol.messages.api_versions_response import ApiVersionsResponseData
from pykraft.server.node import Node
from pykraft.server.registry import HANDLER_MODULES, HANDLERS
from pykraft.server.releases import KAFKA_3_9
from tests.server.client import connected, header

REQUEST = ApiVersionsRequestData(client_software_name="apache-kafka-java", client_software_version="3.9.1")


def test_the_module_table_is_what_the_modules_register() -> None:
    for module in set(HANDLER_MODULES.values()):
        import_module(f"pykraft.server.handlers.{module}")
    registered = {key: entry.handle.__module__.rpartition(".")[2] for key, entry in HANDLERS.items()}
    assert registered == HANDLER_MODULES


def test_every_api_of_the_release_is_handled_in_all_its_versions() -> None:
    assert set(KAFKA_3_9.apis) == set(HANDLER_MODULES)
    for key, (lowest, highest) in KAFKA_3_9.apis.items():
        assert spec(key).min_version <= lowest <= highest <= spec(key).max_version, key.name
        assert "controller" in spec(key).listeners, key.name


def test_the_features_listed_are_those_the_controller_registers_with() -> None:
    registered = {(each.name, int(each.min_version), int(each.max_version)) for each in SUPPORTED_FEATURES}
    assert set(KAFKA_3_9.features) == registered


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
async def test_it_lists_apis_and_features(node: Node, version: int) -> None:
    async with connected(node) as client:
        answer = await client.ask(REQUEST, version)
    assert answer.error_code == ErrorCode.NONE
    keys = [each.api_key for each in answer.api_keys]
    assert keys == sorted(KAFKA_3_9.apis)
    assert {each.api_key: (each.min_version, each.max_version) for each in answer.api_keys} == KAFKA_3_9.apis
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
