"""What stands in the way of a migration in the nodes' server.properties files. Pure.

Which node a file belongs to is told by process.roles: none is a ZooKeeper-mode broker, `broker` one that has moved to
KRaft mode, `controller` a controller. Source: KafkaConfig.scala (validateValues), KRaftConfigs.java,
docs/ops.html (kraft_zk_migration), Kafka 3.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from pykraft.image.metadata_version import (
    LATEST_PRODUCTION,
    MetadataVersion,
    UnknownMetadataVersionError,
    metadata_version_from_text,
)
from pykraft.migration.preconditions import contents_without_record, some
from pykraft.migration.preflight import ClusterFacts, Finding, blocker, warning

Properties = Mapping[str, str]

MIGRATION_FLAG: Final = "zookeeper.metadata.migration.enable"
VOTERS: Final = "controller.quorum.voters"
BOOTSTRAP_SERVERS: Final = "controller.quorum.bootstrap.servers"
CONTROLLER_LISTENERS: Final = "controller.listener.names"
IBP: Final = "inter.broker.protocol.version"
RESERVED_BROKER_MAX_ID: Final = 1000
ACL_AUTHORIZER: Final = "kafka.security.authorizer.AclAuthorizer"
STANDARD_AUTHORIZER: Final = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
REMOVED_AUTHORIZER: Final = "kafka.security.auth.SimpleAclAuthorizer"
SECRET: Final = "password.encoder.secret"
_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_VOTER: Final = re.compile(r"\s*(\d+)@[^@\s,]+:\d+\s*")
_RELEASE: Final = re.compile(r"(\d+)\.(\d+)")


def check_properties(
    files: Mapping[str, Properties], facts: ClusterFacts | None = None, connect: str | None = None
) -> list[Finding]:
    """Findings of all files, each by itself and together, and against ZooKeeper at `connect` where it was read."""
    facts = facts or ClusterFacts()
    found: list[Finding] = []
    for name, properties in files.items():
        role = _role(properties)
        if connect is not None and role in ("", "controller"):
            found += _chroot(name, properties, connect)
        if role == "":
            found += _zk_broker(name, properties, facts)
        elif role == "broker":
            found += _kraft_broker(name, properties, facts)
        elif role == "controller":
            found += _controller(name, properties, facts)
        else:
            found.append(
                blocker(
                    "combined-node",
                    name,
                    f"process.roles={role}: a node cannot be broker and controller in a migration",
                    "run the controllers by themselves, with process.roles=controller",
                )
            )
    return [*found, *_together(files, facts)]


def _role(properties: Properties) -> str:
    return ",".join(sorted(_names(properties.get("process.roles", ""))))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _is_true(properties: Properties, key: str) -> bool:
    return properties.get(key, "").strip().lower() == "true"


def _node_id(properties: Properties) -> int | None:
    for key in ("node.id", "broker.id"):
        text = properties.get(key, "").strip()
        if re.fullmatch(r"-?\d+", text):
            return int(text)
    return None


def _chroot(name: str, properties: Properties, connect: str) -> Iterator[Finding]:
    given = properties.get("zookeeper.connect", "").strip()
    chroots = [text.partition("/")[2].strip("/") for text in (given, connect)]
    if given and chroots[0] != chroots[1]:
        yield blocker(
            "chroot",
            name,
            f"zookeeper.connect={given} has the chroot /{chroots[0]}, ZooKeeper was read at /{chroots[1]}",
            "name the same chroot everywhere",
        )


def _zk_broker(name: str, properties: Properties, facts: ClusterFacts) -> Iterator[Finding]:
    if not _is_true(properties, MIGRATION_FLAG):
        yield blocker(
            "migration-flag",
            name,
            f"{MIGRATION_FLAG} is not true: the broker does not take part",
            f"set it to true with {CONTROLLER_LISTENERS} and {VOTERS}, and restart the broker when the controllers run",
        )
    if not properties.get("zookeeper.connect", "").strip():
        yield blocker(
            "zookeeper-connect", name, "has no zookeeper.connect", "keep it until the broker is in KRaft mode"
        )
    yield from _broker_id(name, properties)
    yield from _quorum(name, properties)
    yield from _broker_listeners(name, properties)
    yield from _version(name, properties, facts)
    yield from _zk_authorizer(name, properties)
    if facts.secrets and not properties.get(SECRET):
        yield blocker(
            "password-encoder",
            name,
            f"has no {SECRET}, and ZooKeeper holds secrets ({some(facts.secrets)})",
            "give it the secret that they were encrypted with",
        )
    if control := properties.get("control.plane.listener.name", "").strip():
        yield warning(
            "control-plane-listener",
            name,
            f"control.plane.listener.name={control} is not known in KRaft mode",
            "remove it when the broker goes to KRaft mode",
        )


def _broker_id(name: str, properties: Properties) -> Iterator[Finding]:
    texts = {key: properties.get(key, "").strip() for key in ("broker.id", "node.id")}
    number = _node_id(properties)
    if number is None or number < 0:
        yield blocker(
            "generated-broker-id",
            name,
            "has no broker.id: ids that ZooKeeper generates cannot migrate",
            "set broker.id to the id in the broker's meta.properties",
        )
        return
    if texts["broker.id"] and texts["node.id"] and texts["broker.id"] != texts["node.id"]:
        yield blocker(
            "broker-id",
            name,
            f"broker.id={texts['broker.id']} and node.id={texts['node.id']} differ",
            "set both to the broker's id, or only broker.id",
        )
    highest = properties.get("reserved.broker.max.id", "").strip()
    limit = int(highest) if highest.isdecimal() else RESERVED_BROKER_MAX_ID
    if number > limit and properties.get("broker.id.generation.enable", "true").strip().lower() == "true":
        yield blocker(
            "broker-id",
            name,
            f"broker.id={number} is above reserved.broker.max.id={limit}",
            f"set reserved.broker.max.id={number} or broker.id.generation.enable=false",
        )


def _quorum(name: str, properties: Properties) -> Iterator[Finding]:
    voters, servers = properties.get(VOTERS, "").strip(), properties.get(BOOTSTRAP_SERVERS, "").strip()
    if not voters and not servers:
        yield blocker(
            "quorum-voters",
            name,
            f"names no controllers: neither {VOTERS} nor {BOOTSTRAP_SERVERS} is set",
            f"set {VOTERS}=ID@HOST:PORT,… of the controllers",
        )
    elif voters and not all(_VOTER.fullmatch(voter) for voter in voters.split(",")):
        yield blocker(
            "quorum-voters", name, f"{VOTERS}={voters} cannot be read", "write it as ID@HOST:PORT,ID@HOST:PORT"
        )


def _broker_listeners(name: str, properties: Properties) -> Iterator[Finding]:
    controllers = _names(properties.get(CONTROLLER_LISTENERS, ""))
    if not controllers:
        yield blocker(
            "controller-listener-names",
            name,
            f"{CONTROLLER_LISTENERS} is not set",
            "set it to the name of the controllers' listener, such as CONTROLLER",
        )
    own = _listener_names(properties)
    for listener in controllers:
        if listener in own and listener != properties.get("control.plane.listener.name", "").strip():
            yield blocker(
                "controller-listener-names",
                name,
                f"{listener}, a listener of the controllers, is in listeners too",
                "brokers have no controller listener: take it out of listeners and advertised.listeners",
            )
        if listener not in _protocol_map(properties) and listener not in _PROTOCOLS:
            yield blocker(
                "listener-protocol-map",
                name,
                f"listener.security.protocol.map has no {listener}",
                f"add {listener}:PLAINTEXT, or the protocol that the controllers' listener has",
            )
    inter_broker = _inter_broker_listener(properties)
    if own and inter_broker not in own:
        yield blocker(
            "inter-broker-listener",
            name,
            f"the inter-broker listener {inter_broker} is not in listeners",
            "set inter.broker.listener.name to one of them",
        )


def _listener_names(properties: Properties) -> list[str]:
    text = properties.get("listeners", "") + "," + properties.get("advertised.listeners", "")
    return [entry.partition("://")[0] for entry in _names(text)]


def _protocol_map(properties: Properties) -> dict[str, str]:
    entries = [entry.partition(":") for entry in _names(properties.get("listener.security.protocol.map", ""))]
    return {name.strip(): protocol.strip() for name, _, protocol in entries}


def _inter_broker_listener(properties: Properties) -> str:
    return (
        properties.get("inter.broker.listener.name", "").strip()
        or properties.get("security.inter.broker.protocol", "").strip()
        or "PLAINTEXT"
    )


def _version(name: str, properties: Properties, facts: ClusterFacts) -> Iterator[Finding]:
    text = properties.get(IBP, "").strip()
    if not text:
        yield warning(
            "inter-broker-protocol",
            name,
            f"{IBP} is not set: it is that of the installed release",
            "set it, to the metadata.version of the controllers; it must not change with the next restart",
        )
        return
    version = _parse_version(text)
    if version is None:
        yield blocker("inter-broker-protocol", name, f"{IBP}={text} is not known", "write a release such as 3.9")
    elif version < MetadataVersion.IBP_3_4_IV0:
        yield blocker(
            "inter-broker-protocol",
            name,
            f"{IBP}={text}: brokers take part in a migration from 3.4-IV0 on",
            "upgrade the brokers to 3.6 or later, then raise it on all of them",
        )
    elif version < MetadataVersion.IBP_3_6_IV1:
        yield warning(
            "inter-broker-protocol",
            name,
            f"{IBP}={text}: below 3.6-IV1 the copy is no transaction, and Kafka's controllers of 3.8.1 and 3.9 do not"
            " begin it",
            f"upgrade the brokers to 3.6 or later, then raise it on all of them; or give pykraft's controller --release"
            f" {version.release}",
        )
    if version is not None and (lost := contents_without_record(version, facts.scram_users, facts.tokens)):
        problem, _, remedy = lost.partition(": ")
        yield blocker("no-record", name, f"{IBP}={text}: {problem}", remedy)
    directories = _names(properties.get("log.dirs") or properties.get("log.dir", ""))
    if len(directories) > 1 and (version is None or version < MetadataVersion.IBP_3_7_IV2):
        yield blocker(
            "several-log-dirs",
            name,
            f"has {len(directories)} log directories, and {IBP}={text} has no directory ids",
            f"raise {IBP} to 3.7-IV2 or later on all brokers, or migrate with one directory",
        )


def _parse_version(text: str) -> MetadataVersion | None:
    """The level of an IBP text; the lowest one for releases before KRaft; None for what is none."""
    try:
        return metadata_version_from_text(text)
    except UnknownMetadataVersionError:
        match = _RELEASE.match(text)
        if match is None:
            return None
        is_old = (int(match[1]), int(match[2])) < (3, 0)
        return MetadataVersion.IBP_3_0_IV1 if is_old else LATEST_PRODUCTION


def _zk_authorizer(name: str, properties: Properties) -> Iterator[Finding]:
    authorizer = properties.get("authorizer.class.name", "").strip()
    version = _parse_version(properties.get(IBP, "").strip())
    if authorizer and version is not None and version < MetadataVersion.IBP_3_6_IV0:
        yield warning(
            "authorizer",
            name,
            "has an authorizer, with which brokers of 3.4 and 3.5.0 do not start in migration mode",
            "upgrade them to 3.5.1 or later first",
        )
    if authorizer == STANDARD_AUTHORIZER:
        yield blocker(
            "authorizer",
            name,
            "StandardAuthorizer does not work in ZooKeeper mode",
            f"use {ACL_AUTHORIZER} until the broker goes to KRaft mode",
        )
    elif authorizer == REMOVED_AUTHORIZER:
        yield blocker(
            "authorizer",
            name,
            "SimpleAclAuthorizer was removed from Kafka",
            f"use {ACL_AUTHORIZER}, which reads its rules",
        )
    elif authorizer not in ("", ACL_AUTHORIZER):
        yield warning(
            "authorizer",
            name,
            f"authorizer.class.name={authorizer} is none of Kafka's own",
            "make sure that it works in KRaft mode, and that its rules do not live in ZooKeeper",
        )


def _kraft_broker(name: str, properties: Properties, facts: ClusterFacts) -> Iterator[Finding]:
    if not facts.is_migrated:
        yield blocker(
            "kraft-mode-too-early",
            name,
            "is in KRaft mode (process.roles=broker) and ZooKeeper was not copied yet",
            "start it in ZooKeeper mode with the migration flag; KRaft-mode brokers come after the copy",
        )
    left = [key for key in ("zookeeper.connect", MIGRATION_FLAG, "control.plane.listener.name") if properties.get(key)]
    if left:
        yield blocker("zookeeper-left", name, f"has {', '.join(left)} in KRaft mode", "remove them")
    if _node_id(properties) is None:
        yield blocker("node-id", name, "has no node.id", "set it to the id that it had as broker.id")
    yield from _quorum(name, properties)
    yield from _broker_listeners(name, properties)
    if properties.get("authorizer.class.name", "").strip() == ACL_AUTHORIZER:
        yield blocker("authorizer", name, "AclAuthorizer does not work in KRaft mode", f"use {STANDARD_AUTHORIZER}")


def _controller(name: str, properties: Properties, facts: ClusterFacts) -> Iterator[Finding]:
    if not _is_true(properties, MIGRATION_FLAG):
        yield blocker(
            "migration-flag",
            name,
            f"{MIGRATION_FLAG} is not true: a controller that was first started without it has"
            " a log that can never migrate",
            "set it to true before the first start",
        )
    if not properties.get("zookeeper.connect", "").strip():
        yield blocker("zookeeper-connect", name, "has no zookeeper.connect", "set it to that of the brokers")
    if _node_id(properties) is None:
        yield blocker("node-id", name, "has no node.id", "set it to one that no broker has")
    if not _names(properties.get(CONTROLLER_LISTENERS, "")):
        yield blocker("controller-listener-names", name, f"{CONTROLLER_LISTENERS} is not set", "set it to its listener")
    yield from _quorum(name, properties)
    authorizer = properties.get("authorizer.class.name", "").strip()
    if authorizer == ACL_AUTHORIZER or (facts.has_acls and not authorizer):
        held = "ZooKeeper holds ACLs and the controller has no authorizer" if not authorizer else "AclAuthorizer"
        yield blocker("authorizer", name, f"{held}: requests would not be authorized", f"use {STANDARD_AUTHORIZER}")
    if facts.secrets and not properties.get(SECRET):
        yield blocker(
            "password-encoder",
            name,
            f"has no {SECRET}, and ZooKeeper holds secrets ({some(facts.secrets)}): they would be copied encrypted",
            "give it the brokers' secret and algorithm keys",
        )
    if facts.tokens and not (
        properties.get("delegation.token.secret.key") or properties.get("delegation.token.master.key")
    ):
        yield blocker(
            "delegation-tokens",
            name,
            "has no delegation.token.secret.key, and ZooKeeper holds delegation tokens",
            "give it that of the brokers",
        )
    listener = _inter_broker_listener(properties)
    without = sorted(
        id_ for id_, broker in facts.brokers.items()
        if listener not in [endpoint.partition("://")[0] for endpoint in broker.endpoints]
    )  # fmt: skip
    if without:
        yield blocker(
            "inter-broker-listener",
            name,
            f"inter.broker.listener.name is {listener}, which"
            f" broker {some([str(id_) for id_ in without])} has not registered: the controller could not reach it",
            "set it to the brokers' inter-broker listener, here as there",
        )
    yield from _inter_broker_security(name, properties, facts)


def _inter_broker_security(name: str, properties: Properties, facts: ClusterFacts) -> Iterator[Finding]:
    listener = _inter_broker_listener(properties)
    here = _protocol_map(properties).get(listener, listener)
    protocols = {broker.listener_security_protocol_map.get(listener, here) for broker in facts.brokers.values()}
    if others := sorted(protocols - {here}):
        yield blocker(
            "inter-broker-security",
            name,
            f"would speak {here} to the brokers' listener {listener}, which is {some(others)}",
            "give it the brokers' listener.security.protocol.map, and their ssl.* and sasl.* settings",
        )
    elif here in _PROTOCOLS[1:]:
        yield warning(
            "inter-broker-security",
            name,
            f"speaks {here} to the brokers: pykraft's controllers speak PLAINTEXT only, Kafka's need the brokers' ssl.*"
            " and sasl.* settings",
            "for a pykraft controller give the brokers a PLAINTEXT listener and name it in inter.broker.listener.name",
        )


def _together(files: Mapping[str, Properties], facts: ClusterFacts) -> Iterator[Finding]:
    controllers = {name: found for name, found in files.items() if _role(found) == "controller"}
    brokers = {name: found for name, found in files.items() if name not in controllers}
    yield from _ids_together(brokers, controllers, facts)
    shared = {
        VOTERS: (files, "the same controllers, in every file"),
        IBP: (brokers, "the same on every broker; the controllers' metadata.version must equal it"),
        SECRET: (files, "the same secret everywhere"),
    }
    for key, (where, wanted) in shared.items():
        values = _values(where, key)
        if len(values) > 1:
            shown = some(sorted(f"{'…' if key == SECRET else value} in {files_}" for value, files_ in values.items()))
            yield blocker("not-the-same", key, f"differs: {shown}", f"set {wanted}")
    for controller, properties in controllers.items():
        version = properties.get(IBP, "").strip()
        other = [value for value in _values(brokers, IBP) if version and _differ(value, version)]
        if other:
            yield blocker(
                "metadata-version",
                controller,
                f"{IBP}={version} is the metadata.version, the brokers have {some(other)}",
                "brokers register exactly their own: make them equal",
            )
        listeners = {_inter_broker_listener(found) for found in brokers.values()}
        if listeners and _inter_broker_listener(properties) not in listeners:
            yield blocker(
                "inter-broker-listener",
                controller,
                f"inter.broker.listener.name is {_inter_broker_listener(properties)}, the brokers have"
                f" {some(sorted(listeners))}",
                "set it to theirs: the controller reaches them on it",
            )


def _values(files: Mapping[str, Properties], key: str) -> dict[str, str]:
    """The values of a key, each with the files that have it."""
    found: dict[str, list[str]] = {}
    for name, properties in files.items():
        value = ",".join(sorted(_names(properties.get(key, ""))))
        if value:
            found.setdefault(value, []).append(name)
    return {value: ", ".join(names) for value, names in found.items()}


def _differ(left: str, right: str) -> bool:
    return _parse_version(left) != _parse_version(right)


def _ids_together(
    brokers: Mapping[str, Properties], controllers: Mapping[str, Properties], facts: ClusterFacts
) -> Iterator[Finding]:
    seen: dict[int, str] = {}
    for name, properties in [*brokers.items(), *controllers.items()]:
        number = _node_id(properties)
        if number is None:
            continue
        if number in seen:
            yield blocker("id-clash", name, f"has the id {number}, as has {seen[number]}", "give each node its own id")
        elif name in controllers and number in facts.brokers:
            yield blocker(
                "id-clash",
                name,
                f"has the id {number}, with which a broker is registered in ZooKeeper",
                "give the controller another: brokers and controllers share one space of ids",
            )
        seen.setdefault(number, name)
    broker_ids = {*facts.brokers, *_numbers(brokers.values())}
    for name, properties in [*brokers.items(), *controllers.items()]:
        voters = [int(found[1]) for voter in _names(properties.get(VOTERS, "")) if (found := _VOTER.fullmatch(voter))]
        if clash := sorted(broker_ids.intersection(voters)):
            yield blocker(
                "id-clash",
                name,
                f"{VOTERS} names {some([str(id_) for id_ in clash])}, the id of a broker",
                "give the controllers ids that no broker has",
            )
        if name in controllers and voters and _node_id(properties) not in voters:
            yield blocker(
                "quorum-voters", name, f"{VOTERS} does not name the node itself", "add it, here and everywhere"
            )
    unseen = sorted(facts.brokers.keys() - set(_numbers(brokers.values())))
    if brokers and unseen:
        yield warning(
            "no-properties",
            f"broker {some([str(id_) for id_ in unseen])}",
            "is registered and its properties were not given",
            "give them with --properties: what is wrong there is found at its restart otherwise",
        )


def _numbers(files: Iterable[Properties]) -> Sequence[int]:
    return [number for properties in files if (number := _node_id(properties)) is not None]
