"""`pykraft protocol decode|encode|frame`: Kafka's messages between bytes and JSON, a JSON line in, a JSON line out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NoReturn

from pykraft.protocol import api, frame, jsonconv
from pykraft.protocol.errors import ProtocolError

# Room for the hex of a frame of Kafka's own limit, socket.request.max.bytes = 100 MiB.
LINE_BYTES_MAX: Final = 2 * 100 * 1024 * 1024 + 4096

Object = dict[str, Any]


# A question of each action, for its help.
_EXAMPLES: Final = {
    "decode": '{"name": "FeatureLevelRecord", "version": 0, "hex": "116d657461646174612e76657273696f6e001300"}',
    "encode": '{"name": "FeatureLevelRecord", "version": 0, "json": {"name": "metadata.version", "featureLevel": 19}}',
    "frame": '{"direction": "request", "hex": "0012000300000001ffff00026b023100"}',
}


class LineError(ValueError):
    """A line that is not a question of its command."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser; its `func` default is `run`."""
    parser = subparsers.add_parser(
        "protocol",
        help="decode and encode Kafka's messages, records and frames",
        description="Reads a JSON object a line from stdin and answers each with one on stdout. Classes go by the\n"
        "names of Kafka's own (FetchRequestData, PartitionRecord), JSON is that of Kafka's converters. A line that\n"
        'cannot be answered gets {"error": ...}, and the next one is read.',
        epilog=_example("decode"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, takes, gives in (
        ("decode", '{"name", "version", "hex"}', '{"json", "rest": bytes left over}'),
        ("encode", '{"name", "version", "json"}', '{"hex"}'),
        ("frame", '{"direction": "request", "hex"} or {"direction": "response", "api_key", "api_version", "hex"}',
         '{"api", "header", "body"}'),
    ):  # fmt: skip
        action = actions.add_parser(
            name,
            help=f"{takes} to {gives}",
            description=f"{takes} to {gives}",
            epilog=_example(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name != "encode":
            action.add_argument(
                "--records", action="store_true", help="print fields of type records as base64, not empty as Kafka does"
            )
    parser.set_defaults(func=run)


def _example(action: str) -> str:
    return f"example: echo '{_EXAMPLES[action]}' | pykraft protocol {action}"


def run(args: argparse.Namespace) -> int:
    """Answer every line of stdin; 0, as a bad line is answered too."""
    answer = _ANSWERS[args.action]
    records = getattr(args, "records", False)
    try:
        for line in lines(sys.stdin.buffer):
            told = answered(answer, line, records)
            sys.stdout.write(json.dumps(told, separators=(",", ":"), allow_nan=False) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads on. Python flushes stdout once more at its end: that goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """The lines that are not blank; None for one above LINE_BYTES_MAX, which is skipped without being kept."""
    while line := stream.readline(LINE_BYTES_MAX + 1):
        if len(line) > LINE_BYTES_MAX:
            while not line.endswith(b"\n") and (line := stream.readline(LINE_BYTES_MAX)):
                pass
            yield None
        elif line.strip():
            yield line


def answered(answer: Callable[[Object, bool], Object], line: bytes | None, records: bool) -> Object:
    """The answer to one line, an error where it has none."""
    try:
        if line is None:
            raise LineError(f"the line has more than {LINE_BYTES_MAX} bytes")
        return answer(_object(line), records)
    except (LineError, ProtocolError) as error:
        return {"error": str(error)}
    except RecursionError:
        return {"error": "a value is nested too deep"}


def _object(line: bytes) -> Object:
    try:
        found = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise LineError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise LineError("not JSON that can be read: nested too deep") from None
    except ValueError as error:
        raise LineError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise LineError("not a JSON object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; as a value of a field it is the text {name!r}")


def _text(question: Object, key: str) -> str:
    value = question.get(key)
    if not isinstance(value, str):
        raise LineError(f"needs {key!r}, a text")
    return value


def _number(question: Object, key: str) -> int:
    value = question.get(key)
    if type(value) is not int:
        raise LineError(f"needs {key!r}, an integer")
    return value


def _bytes(question: Object) -> bytes:
    try:
        return bytes.fromhex(_text(question, "hex"))
    except LineError:
        raise
    except ValueError:
        raise LineError("'hex' is not pairs of hexadecimal digits") from None


def _decode(question: Object, records: bool) -> Object:
    cls = api.message_class(_text(question, "name"))
    version = _number(question, "version")
    raw = _bytes(question)
    message, position = cls.decode_prefix(raw, version)
    return {"json": jsonconv.to_json(message, version, records=records), "rest": len(raw) - position}


def _encode(question: Object, _: bool) -> Object:
    cls = api.message_class(_text(question, "name"))
    version = _number(question, "version")
    if "json" not in question:
        raise LineError("needs 'json', an object")
    return {"hex": jsonconv.from_json(cls, question["json"], version).encode(version).hex()}


def _frame(question: Object, records: bool) -> Object:
    direction = _text(question, "direction")
    if direction == "request":
        request, header_version, body = frame.decode_request(_bytes(question))
        key, version = request.request_api_key, request.request_api_version
        header = jsonconv.to_json(request, header_version)
    elif direction == "response":
        key, version = _number(question, "api_key"), _number(question, "api_version")
        response, header_version, body = frame.decode_response(_bytes(question), key, version)
        header = jsonconv.to_json(response, header_version)
    else:
        raise LineError("'direction' is neither request nor response")
    return {"api": api.api_name(key), "header": header, "body": jsonconv.to_json(body, version, records=records)}


_ANSWERS: Final[dict[str, Callable[[Object, bool], Object]]] = {"decode": _decode, "encode": _encode, "frame": _frame}
