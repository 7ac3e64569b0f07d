"""Znode paths and the escaping of names: what Kafka's Sanitizer and ZkData give."""

import pytest

from pykraft.zookeeper import paths
from pykraft.zookeeper.acls import CREATOR_ALL, CREATOR_ALL_WORLD_READ, WORLD_ALL, default_acls


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("alice", "alice"),
        ("bob@EXAMPLE.COM", "bob%40EXAMPLE.COM"),
        ("app 1", "app%201"),
        ("a/b:c", "a%2Fb%3Ac"),
        ("star*tilde~plus+", "star%2Atilde%7Eplus%2B"),
        ("CN=ö, O=x", "CN%3D%C3%B6%2C%20O%3Dx"),
        ("keep.-_", "keep.-_"),
        ("<default>", "%3Cdefault%3E"),
    ],
)
def test_c53_sanitize_is_javas_form_encoding_with_percent_spaces(name: str, escaped: str) -> None:
    assert paths.sanitize(name) == escaped
    assert paths.desanitize(escaped) == name


def test_a_literal_plus_reads_as_a_space() -> None:
    assert paths.desanitize("a+b") == "a b"


def test_entity_paths() -> None:
    assert paths.user_config("bob@X") == "/config/users/bob%40X"
    assert paths.user_config(None) == "/config/users/<default>"
    assert paths.user_client_config(None, "app 1") == "/config/users/<default>/clients/app%201"
    assert paths.client_config(None) == "/config/clients/<default>"
    assert paths.ip_config("::1") == "/config/ips/::1"
    assert paths.broker_config(None) == "/config/brokers/<default>"
    assert paths.broker_config(0) == "/config/brokers/0"
    assert paths.config_entity_path(paths.user_client_config("u", None)) == "users/u/clients/<default>"
    assert paths.entity_name("<default>") is None
    assert paths.entity_name("app%201") == "app 1"


def test_acl_paths() -> None:
    prefixed = paths.PatternType.PREFIXED
    assert paths.acl_resource(paths.PatternType.LITERAL, "Group", "*") == "/kafka-acl/Group/*"
    assert paths.acl_resource(prefixed, "Topic", "pay") == "/kafka-acl-extended/prefixed/Topic/pay"
    assert paths.acl_change_prefix(prefixed) == "/kafka-acl-extended-changes/acl_changes_"


def test_ancestors_and_parent() -> None:
    assert paths.ancestors("/a/b/c") == ["/a", "/a/b"]
    assert paths.ancestors("/a") == []
    assert paths.parent("/a") == "/"
    assert paths.parent("/a/b") == "/a"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/consumers", WORLD_ALL),
        ("/consumers/g", CREATOR_ALL_WORLD_READ),
        ("/config/users/u", CREATOR_ALL),
        ("/config/users/u/clients/c", CREATOR_ALL),
        ("/config/brokers/1", CREATOR_ALL),
        ("/delegation_token/tokens/t", CREATOR_ALL),
        ("/config/topics/t", CREATOR_ALL_WORLD_READ),
        ("/brokers/topics/t", CREATOR_ALL_WORLD_READ),
    ],
)
def test_l22_znodes_with_secrets_are_not_readable_by_the_world(path: str, expected: object) -> None:
    assert default_acls(path, set_acl=True) == expected
    assert default_acls(path, set_acl=False) == WORLD_ALL
