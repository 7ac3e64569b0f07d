"""`pykraft zk dump` and `pykraft zk diff`: ZooKeeper's tree as typed JSON, and beside a metadata image."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from pykraft.cli.cluster_common import image_options, json_option, read_image, runner, zookeeper, zookeeper_option
from pykraft.cli.common import CHECK_SAYS_NO, DONE, load_properties

SETTLE_S: Final = 5.0
SETTLE_PAUSE_S: Final = 0.5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "zk", help="show ZooKeeper's tree as typed JSON, and what differs from a metadata image",
        description="Looks at the ZooKeeper of a Kafka cluster and changes nothing in it. Exit codes: 0 done or same,"
        " 1 different, 2 wrong use or cannot run.",
        epilog="example: pykraft zk dump --zookeeper localhost:2181 --path /brokers/topics",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", required=True, metavar="dump|diff")
    _add_dump(actions)
    _add_diff(actions)


def _add_dump(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "dump", help="print every znode",
        description="Print every znode, one JSON object a line: its path, version and whether it is ephemeral, what"
        " kind of content it has (Kafka's name) and that content, or in `error` why it cannot be read. Secrets are"
        " shown as"
        " ZooKeeper has them.",
        epilog="example: pykraft zk dump --zookeeper localhost:2181 --path /brokers/topics | jq -c .value",
    )  # fmt: skip
    zookeeper_option(parser, required=True)
    parser.add_argument("--path", default="/", metavar="PATH", help="only this znode and what is below it")
    parser.add_argument(
        "--raw", action="store_true",
        help="the tree as one object of path to base64 data, version and access list, fit to be loaded again",
    )  # fmt: skip
    json_option(parser, argparse.SUPPRESS)
    parser.set_defaults(func=runner("zk dump", run_dump))


async def run_dump(options: argparse.Namespace) -> int:
    """0, the znodes on stdout."""
    import msgspec

    from pykraft.zookeeper.dump import dump_tree, tree_to_json

    async with zookeeper(options.zookeeper) as port:
        refused: dict[str, Any] = {}
        tree = await dump_tree(port, with_acls=options.raw, refused=refused)
    root = options.path.rstrip("/")
    tree = {path: node for path, node in tree.items() if path == root or path.startswith(f"{root}/")}
    if options.raw:
        sys.stdout.buffer.write(tree_to_json(tree) + b"\n")
        return DONE
    for path, node in sorted(tree.items()):
        sys.stdout.buffer.write(msgspec.json.encode(_line(path, node)) + b"\n")
    for path, code in sorted(refused.items()):
        sys.stdout.buffer.write(msgspec.json.encode({"path": path, "error": f"ZooKeeper answers {code.name}"}) + b"\n")
    return DONE


def _line(path: str, node: Any) -> dict[str, object]:
    from pykraft.zookeeper.typed import typed
    from pykraft.zookeeper.znodes import ZnodeError

    line: dict[str, object] = {"path": path, "version": node.version, "ephemeral": node.ephemeral}
    try:
        kind, value = typed(path, node.data)
    except ZnodeError as error:
        text = None if node.data is None else node.data.decode(errors="backslashreplace")
        return line | {"error": error.reason, "text": text}
    return line | {"kind": kind, "value": value}


def _add_diff(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "diff", help="print what must be written to make ZooKeeper equal to a metadata image",
        description="Print what a controller in dual-write mode would have to write so that ZooKeeper holds what the"
        " metadata image holds: topics, partitions, configs, quotas, credentials, ACLs, tokens, producer ids. Not"
        " compared, as a migration does not write them: registrations, features, partition epochs, directories."
        " Exit code 0: the same, 1: different.",
        epilog="examples: pykraft zk diff --zookeeper localhost:2181 --bootstrap-controller localhost:9093 |"
        " pykraft zk diff --zookeeper localhost:2181 --data /var/kafka/metadata",
    )  # fmt: skip
    zookeeper_option(parser, required=True)
    image_options(parser)
    parser.add_argument(
        "--properties", type=Path, metavar="FILE",
        help="the controllers' server.properties, for password.encoder.secret",
    )  # fmt: skip
    parser.add_argument(
        "--settle", type=float, default=SETTLE_S, metavar="SECONDS",
        help="how long to look again while they differ, because writes may be on their way (default %(default)s)",
    )  # fmt: skip
    json_option(parser, "one object a line for each difference")
    parser.set_defaults(func=runner("zk diff", run_diff))


async def run_diff(options: argparse.Namespace) -> int:
    """0 same, 1 different."""
    import trio

    from pykraft.migration.passwords import password_encoder
    from pykraft.migration.zk_contents import PlainPasswords
    from pykraft.migration.zk_writer import ZkWriter
    from pykraft.server.migration_reader import read_contents

    properties = {} if options.properties is None else load_properties(options.properties)
    passwords = password_encoder(properties.get("password.encoder.secret", "")) or PlainPasswords()
    deadline_s = trio.current_time() + options.settle
    async with zookeeper(options.zookeeper) as port:
        while True:
            image = await read_image(options)
            operations = ZkWriter(image.epoch, passwords).reconcile(
                image, await read_contents(port, passwords, strict=False)
            )
            if not operations or trio.current_time() >= deadline_s:
                break
            await trio.sleep(SETTLE_PAUSE_S)
    for operation in operations:
        _print_operation(operation, as_json=options.json)
    return CHECK_SAYS_NO if operations else DONE


def _print_operation(operation: Any, *, as_json: bool) -> None:
    import msgspec

    writes = [_write(op) for op in operation.ops]
    if as_json:
        line = {"type": operation.type.value, "subject": operation.subject, "writes": writes}
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()
        return
    print(f"{operation.type.value} {operation.subject}")
    for write in writes:
        print(f"    {write['op']} {write['path']}" + (f"  {write['data']}" if write.get("data") else ""))


def _write(op: Any) -> dict[str, object]:
    data = getattr(op, "data", None)
    found: dict[str, object] = {"op": type(op).__name__, "path": op.path}
    return found if data is None else found | {"data": data.decode(errors="backslashreplace")}
