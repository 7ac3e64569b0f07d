"""The single writer: groups, order, limits, what it does when an operation or the disk fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from pykraft.controller.errors import ApiError
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.delta import MetadataDelta
from pykraft.image.metadata_image import MetadataImage
from pykraft.image.model import ConfigResource, ZkMigrationState
from pykraft.log.batch import BATCH_RECORDS_MAX, decode_batch
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.record_frame import ApiMessageAndVersion
from pykraft.protocol.records.begin_transaction_record import BeginTransactionRecord
from pykraft.protocol.records.end_transaction_record import EndTransactionRecord
from pykraft.protocol.records.unregister_broker_record import UnregisterBrokerRecord
from pykraft.protocol.records.zk_migration_state_record import ZkMigrationStateRecord
from pykraft.server import writer as writer_module
from pykraft.server.storage import replay
from pykraft.server.writer import WriterStoppedError
from tests.server.writer_house import TOPIC, House, config, configs, writes


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_operations_that_wait_together_are_one_append_in_their_order(house: House, nursery: trio.Nursery) -> None:
    writer = await house.start(nursery)
    house.gate = trio.Event()
    answers: list[tuple[str, int]] = []

    async def one(name: str) -> None:
        answers.append((name, await writer.write(writes(config(name)))))

    async with trio.open_nursery() as clients:
        clients.start_soon(one, "first")
        await trio.testing.wait_all_tasks_blocked()
        for name in ("a", "b", "c"):
            clients.start_soon(one, name)
            await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        assert house.log.end_offset == 0
        house.gate.set()
    assert sorted(answers, key=lambda answer: answer[1]) == [("first", 0), ("a", 1), ("b", 2), ("c", 3)]
    assert [len(batches) for batches in house.appends] == [1, 3]
    assert [offset for offset, _ in house.published] == [0, 3]


async def test_an_operation_sees_what_the_one_before_it_wrote(house: House, nursery: trio.Nursery) -> None:
    writer = await house.start(nursery)
    house.gate = trio.Event()
    seen: list[dict[str, str]] = []

    def look(ctx: OperationContext) -> ControllerResult[None]:
        seen.append(configs(ctx.image))
        return ControllerResult(None)

    async with trio.open_nursery() as clients:
        clients.start_soon(writer.write, writes(config("a")))
        await trio.testing.wait_all_tasks_blocked()
        clients.start_soon(writer.write, writes(config("b")))
        clients.start_soon(writer.write, look)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == []
        house.gate.set()
    assert seen == [{"a": "1", "b": "1"}] or seen == [{"a": "1"}]


async def test_a_read_sees_committed_state_only(house: House, nursery: trio.Nursery) -> None:
    writer = await house.start(nursery)
    await writer.write(writes(config("a")))
    house.gate = trio.Event()
    seen: list[dict[str, str]] = []

    async def read() -> None:
        seen.append(await writer.read(configs))

    async with trio.open_nursery() as clients:
        clients.start_soon(writer.write, writes(config("b")))
        await trio.testing.wait_all_tasks_blocked()
        clients.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == []
        house.gate.set()
    assert seen == [{"a": "1", "b": "1"}]
    assert await writer.read(configs) == {"a": "1", "b": "1"}


async def test_an_atomic_result_is_one_batch_and_another_is_split(house: House, nursery: trio.Nursery) -> None:
    writer = await house.start(nursery)
    many = [config(str(number)) for number in range(BATCH_RECORDS_MAX + 1)]
    await writer.write(writes(*many[:-1]))
    await writer.write(writes(*many, atomic=False))
    sizes = [[len(decode_batch(batch).values) for batch in batches] for batches in house.appends]
    assert sizes == [[BATCH_RECORDS_MAX], [BATCH_RECORDS_MAX, 1]]
    with pytest.raises(ApiError) as refused:
        await writer.write(writes(*many))
    assert refused.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
    assert await writer.write(writes(config("x"))) == house.log.end_offset - 1


async def test_a_group_too_large_for_one_append_is_several(
    house: House, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "GROUP_BYTES_MAX", 200)
    writer = await house.start(nursery)
    house.gate = trio.Event()
    async with trio.open_nursery() as clients:
        clients.start_soon(writer.write, writes(config("first")))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(6):
            clients.start_soon(writer.write, writes(config(str(number), "v" * 60)))
        await trio.testing.wait_all_tasks_blocked()
        house.gate.set()
    assert [len(batches) for batches in house.appends] == [1, 2, 2, 2]


async def test_an_operation_that_raises_leaves_everything_as_it_was(
    house: House, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    writer = await house.start(nursery)

    def defect(ctx: OperationContext) -> ControllerResult[None]:
        raise KeyError("oops")

    def refuse(ctx: OperationContext) -> ControllerResult[None]:
        raise ApiError(ErrorCode.INVALID_REQUEST, "no")

    with pytest.raises(ApiError) as failed:
        await writer.write(defect, name="defect")
    assert failed.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
    assert [r.levelno for r in caplog.records if "defect" in r.getMessage()] == [logging.ERROR]
    with pytest.raises(ApiError) as refused:
        await writer.write(refuse)
    assert refused.value.code is ErrorCode.INVALID_REQUEST
    assert house.log.end_offset == 0
    assert await writer.write(writes(config("a"))) == 0


async def test_records_that_do_not_apply_leave_no_trace(
    house: House, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    writer = await house.start(nursery)
    await writer.write(writes(config("before")))
    house.gate = trio.Event()
    outcomes: dict[str, object] = {}

    async def one(name: str, op: Callable[[OperationContext], ControllerResult[int]]) -> None:
        try:
            outcomes[name] = await writer.write(op, name=name)
        except ApiError as error:
            outcomes[name] = error.code

    bad = ApiMessageAndVersion(UnregisterBrokerRecord(broker_id=9, broker_epoch=1), 0)
    async with trio.open_nursery() as clients:
        clients.start_soon(one, "held", writes(config("held")))
        await trio.testing.wait_all_tasks_blocked()
        for name, op in (
            ("good", writes(config("good"))),
            ("bad", writes(config("half"), bad)),
            ("later", writes(config("later"))),
        ):
            clients.start_soon(one, name, op)
            await trio.testing.wait_all_tasks_blocked()
        house.gate.set()
    assert outcomes == {"held": 1, "good": 2, "bad": ErrorCode.UNKNOWN_SERVER_ERROR, "later": 3}
    expected = {"before": "1", "held": "1", "good": "1", "later": "1"}
    assert await writer.read(configs) == expected
    assert configs(replay(house.log)) == expected
    offset, delta = house.published[-1]
    assert offset == 3
    assert delta.configs == {ConfigResource(TOPIC, "t"): {"before": "1", "held": "1"}}
    assert sum("do not apply" in record.getMessage() for record in caplog.records) == 1


async def test_nothing_is_acknowledged_when_the_disk_is_full(house: House, nursery: trio.Nursery) -> None:
    outcomes: list[ErrorCode] = []

    async def one() -> None:
        try:
            await house.writer.write(writes(config("a")))
        except ApiError as error:
            outcomes.append(error.code)

    house.failure = OSError(28, "No space left on device")
    with pytest.RaisesGroup(pytest.RaisesExc(WriterStoppedError, match="No space left")):
        async with trio.open_nursery() as inner:
            await house.start(inner)
            nursery.start_soon(one)
            nursery.start_soon(one)
    await trio.testing.wait_all_tasks_blocked()
    assert outcomes == [ErrorCode.NOT_CONTROLLER] * 2
    assert house.published == []
    with pytest.raises(ApiError):
        await house.writer.write(writes(config("b")))


async def test_a_deadline_passed_in_the_queue(house: House, nursery: trio.Nursery) -> None:
    writer = await house.start(nursery)
    house.gate = trio.Event()
    touched: list[str] = []

    async def late() -> None:
        with pytest.raises(ApiError) as error:
            await writer.write(writes(config("late")), timeout_ms=1, on_timeout=lambda ctx: touched.append("late"))
        assert error.value.code is ErrorCode.REQUEST_TIMED_OUT

    async with trio.open_nursery() as clients:
        clients.start_soon(writer.write, writes(config("a")))
        await trio.testing.wait_all_tasks_blocked()
        clients.start_soon(late)
        await trio.sleep(0.02)
        house.gate.set()
    assert touched == ["late"]
    assert await writer.read(configs) == {"a": "1"}


async def test_before_the_migration_only_some_operations_run(tmp_path: Path, nursery: trio.Nursery) -> None:
    house = House(tmp_path, zookeeper_connect="zk", zookeeper_metadata_migration_enable=True)
    writer = await house.start(nursery)
    state = ZkMigrationStateRecord(zk_migration_state=ZkMigrationState.PRE_MIGRATION)
    await writer.write(writes(ApiMessageAndVersion(state, 0)), runs_in_premigration=True)
    with pytest.raises(ApiError) as refused:
        await writer.write(writes(config("a")))
    assert refused.value.code is ErrorCode.NOT_CONTROLLER
    await writer.write(writes(config("b")), runs_in_premigration=True)
    assert await writer.read(configs) == {"b": "1"}


async def test_a_transaction_is_published_once_at_its_end(house: House, nursery: trio.Nursery) -> None:
    writer = await house.start(nursery)
    await writer.write(writes(ApiMessageAndVersion(BeginTransactionRecord(name="copy"), 0)))
    await writer.write(writes(config("a")))
    await writer.write(writes(config("b")))
    assert house.published == []
    await writer.write(writes(ApiMessageAndVersion(EndTransactionRecord(), 0)))
    assert [(offset, delta.configs) for offset, delta in house.published] == [(3, {ConfigResource(TOPIC, "t"): {}})]


async def test_replies_go_out_before_the_late_publishers_and_nothing_changes_meanwhile(
    house: House, nursery: trio.Nursery
) -> None:
    seen: list[object] = []
    house.writer.subscribe(lambda image, delta: seen.append(("late", image.offset)), after_replies=True)
    house.writer.subscribe(lambda image, delta: seen.append(("early", image.offset)))
    writer = await house.start(nursery)

    async def client() -> None:
        seen.append(("reply", await writer.write(writes(config("a")))))
        seen.append(("next", await writer.write(writes(config("b")))))

    async with trio.open_nursery() as clients:
        clients.start_soon(client)
    await trio.testing.wait_all_tasks_blocked()
    assert seen == [
        ("early", 0), ("reply", 0), ("late", 0), ("early", 1), ("next", 1), ("late", 1),
    ]  # fmt: skip


async def test_a_publisher_that_fails_stops_nobody(
    house: House, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(image: MetadataImage, delta: MetadataDelta) -> None:
        raise RuntimeError("broken")

    writer = await house.start(nursery)
    writer.subscribe(broken)
    assert await writer.write(writes(config("a"))) == 0
    assert any("publisher broken failed" in record.getMessage() for record in caplog.records)


async def test_who_resigns_refuses_and_may_lead_again(house: House, nursery: trio.Nursery) -> None:
    writer = await house.start(nursery)
    house.gate = trio.Event()
    refused: list[ErrorCode] = []

    async def one() -> None:
        try:
            await writer.write(writes(config("in flight")))
        except ApiError as error:
            refused.append(error.code)

    async with trio.open_nursery() as clients:
        clients.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        writer.resign()
        clients.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        house.gate.set()
    assert refused == [ErrorCode.NOT_CONTROLLER] * 2
    await writer.lead(replay(house.log), 2, house.log.end_offset)
    assert await writer.write(writes(config("again"))) == 1
    assert [decode_batch(batch).header.leader_epoch for batches in house.appends for batch in batches] == [1, 2]
