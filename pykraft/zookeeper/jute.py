"""Bytes of the requests we build ourselves: ZooKeeper's multi and multiRead, and single reads.

kazoo has no multiRead and loses result codes of a multi; these are plain functions from values to bytes and
back, without IO. Integers are big endian, strings and buffers carry a 4-byte length (-1 for none).
Source: zookeeper-jute zookeeper.jute, zookeeper-server MultiOperationRecord, MultiResponse.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final

from pykraft.zookeeper.acls import ZkAcl, ZkAcls
from pykraft.zookeeper.errors import ZkCode
from pykraft.zookeeper.port import (
    OK_RESULT,
    Check,
    ChildrenResult,
    Create,
    DataResult,
    Delete,
    GetData,
    Op,
    OpResult,
    ReadError,
    ReadRequest,
    ReadResult,
    SetData,
    Stat,
)

CREATE: Final = 1
DELETE: Final = 2
GET_DATA: Final = 4
SET_DATA: Final = 5
GET_ACL: Final = 6
GET_CHILDREN: Final = 8
CHECK: Final = 13
MULTI: Final = 14
MULTI_READ: Final = 22
ERROR: Final = -1

EPHEMERAL_FLAG: Final = 1
SEQUENTIAL_FLAG: Final = 2

_int = struct.Struct("!i")
_header = struct.Struct("!iBi")  # type of the operation, whether this is the end, result code
_header_and_int = struct.Struct("!iBii")
_stat = struct.Struct("!qq8xqi8xq4xi8x")  # only what Stat holds
_HEADER_BYTES: Final = _header.size
_STAT_BYTES: Final = _stat.size
_END: Final = _header.pack(-1, 1, -1)
_NO_WATCH: Final = b"\0"

_op_headers = {kind: _header.pack(kind, 0, -1) for kind in (CREATE, DELETE, GET_DATA, SET_DATA, GET_CHILDREN, CHECK)}


def _buffer(data: bytes | None) -> bytes:
    return _int.pack(-1) if data is None else _int.pack(len(data)) + data


def _string(text: str) -> bytes:
    return _buffer(text.encode())


def _acls(acls: ZkAcls) -> bytes:
    parts = [_int.pack(len(acls))]
    parts.extend(_int.pack(acl.perms) + _string(acl.scheme) + _string(acl.id) for acl in acls)
    return b"".join(parts)


class Chroot:
    """Turns the paths of our callers into those of the server and back; `root` is "" for none."""

    def __init__(self, root: str) -> None:
        self.root = root

    def full(self, path: str) -> str:
        """Path on the server."""
        if not self.root:
            return path
        return self.root if path == "/" else self.root + path

    def relative(self, path: str) -> str:
        """Path as our callers know it."""
        return path[len(self.root) :] or "/"


def encode_multi(ops: Sequence[Op], chroot: Chroot, acls_of: Callable[[str], ZkAcls]) -> bytes:
    """Body of a multi. `acls_of` gives the access list of a Create that has none, from our callers' path."""
    parts: list[bytes] = []
    for op in ops:
        path = _string(chroot.full(op.path))
        match op:
            case SetData():
                parts += (_op_headers[SET_DATA], path, _buffer(op.data), _int.pack(op.version))
            case Create():
                acls = acls_of(op.path) if op.acls is None else op.acls
                flags = op.ephemeral * EPHEMERAL_FLAG | op.sequential * SEQUENTIAL_FLAG
                parts += (_op_headers[CREATE], path, _buffer(op.data), _acls(acls), _int.pack(flags))
            case Check():
                parts += (_op_headers[CHECK], path, _int.pack(op.version))
            case Delete():
                parts += (_op_headers[DELETE], path, _int.pack(op.version))
    parts.append(_END)
    return b"".join(parts)


def decode_multi(body: bytes, offset: int, chroot: Chroot) -> list[OpResult]:
    """Results of a multi, one for each operation whether it was applied or not."""
    results: list[OpResult] = []
    while True:
        kind, end, _ = _header.unpack_from(body, offset)
        offset += _HEADER_BYTES
        if end:
            return results
        if kind == SET_DATA:
            results.append(OpResult(ZkCode.OK, Stat(*_stat.unpack_from(body, offset))))
            offset += _STAT_BYTES
        elif kind == CREATE:
            path, offset = _read_string(body, offset)
            results.append(OpResult(ZkCode.OK, path=chroot.relative(path)))
        elif kind == ERROR:
            code = ZkCode(_int.unpack_from(body, offset)[0])
            offset += _int.size
            results.append(OK_RESULT if code is ZkCode.OK else OpResult(code))
        else:
            results.append(OK_RESULT)


def encode_multi_read(requests: Sequence[ReadRequest], chroot: Chroot) -> bytes:
    """Body of a multiRead."""
    get_data, get_children = _op_headers[GET_DATA], _op_headers[GET_CHILDREN]
    pack, root = _int.pack, chroot.root
    parts: list[bytes] = []
    for request in requests:
        path = (root + request.path if request.path != "/" or not root else root).encode()
        header = get_data if isinstance(request, GetData) else get_children
        parts += (header, pack(len(path)), path, _NO_WATCH)
    parts.append(_END)
    return b"".join(parts)


def decode_multi_read(body: bytes, offset: int, count: int) -> list[ReadResult]:
    """The `count` results of a multiRead. Raises struct.error or ValueError when they are not all there."""
    results: list[ReadResult] = []
    append, head, stat = results.append, _header_and_int.unpack_from, _stat.unpack_from
    for _ in range(count):
        kind, _end, _code, number = head(body, offset)
        offset += 13
        if kind == GET_DATA:
            data = None
            if number >= 0:
                data = body[offset : offset + number]
                offset += number
            append(DataResult(data, Stat(*stat(body, offset))))
            offset += 68
        elif kind == GET_CHILDREN:
            children, offset = _read_strings(body, offset, number)
            append(ChildrenResult(children))
        elif kind == ERROR:
            append(ReadError(ZkCode(number)))
        else:
            raise ValueError(f"a multiRead answered with a result of type {kind}")
    if not _header.unpack_from(body, offset)[1]:
        raise ValueError(f"a multiRead of {count} requests has more results")
    return results


def encode_read(path: str, chroot: Chroot) -> bytes:
    """Body of a single getData or getChildren."""
    return _string(chroot.full(path)) + _NO_WATCH


def decode_data(body: bytes, offset: int) -> DataResult:
    """Result of a single getData."""
    (size,) = _int.unpack_from(body, offset)
    offset += _int.size
    data = body[offset : offset + size] if size >= 0 else None
    return DataResult(data, Stat(*_stat.unpack_from(body, offset + max(size, 0))))


def decode_children(body: bytes, offset: int) -> ChildrenResult:
    """Result of a single getChildren."""
    (count,) = _int.unpack_from(body, offset)
    return ChildrenResult(_read_strings(body, offset + _int.size, count)[0])


def encode_get_acl(path: str, chroot: Chroot) -> bytes:
    """Body of a getACL."""
    return _string(chroot.full(path))


def decode_acls(body: bytes, offset: int) -> ZkAcls:
    """Result of a getACL; its stat is left."""
    (count,) = _int.unpack_from(body, offset)
    offset += _int.size
    acls: list[ZkAcl] = []
    for _ in range(count):
        (perms,) = _int.unpack_from(body, offset)
        scheme, offset = _read_string(body, offset + _int.size)
        name, offset = _read_string(body, offset)
        acls.append(ZkAcl(scheme, name, perms))
    return tuple(acls)


def _read_string(body: bytes, offset: int) -> tuple[str, int]:
    (size,) = _int.unpack_from(body, offset)
    offset += _int.size
    end = offset + max(size, 0)
    return body[offset:end].decode(), end


def _read_strings(body: bytes, offset: int, count: int) -> tuple[list[str], int]:
    strings: list[str] = []
    unpack, append = _int.unpack_from, strings.append
    for _ in range(count):
        begin = offset + 4
        offset = begin + unpack(body, offset)[0]
        append(body[begin:offset].decode())
    return strings, offset
