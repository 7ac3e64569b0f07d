"""Becoming ZooKeeper's controller, and writing under the claim."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from pykraft.migration.claim import AlreadyClaimed, ClaimAttempt, ClaimRefusal, judge_claim, plan_claim
from pykraft.migration.operations import (
    Applied,
    LostClaim,
    MigrationChanged,
    TurnedDown,
    UnrepairableError,
    ZkOperation,
    ZkOperationType,
    delete_descendants,
    fenced,
    judge,
    paths_to_look_at,
    repair,
    split,
)
from pykraft.migration.states import EMPTY, ZkMigrationLeadershipState
from pykraft.server.migration_zookeeper import FencedError, MigrationChangedError, MigrationZooKeeper
from pykraft.testing.fake_zookeeper import FakeZooKeeper, Fault, FaultKind, On
from pykraft.zookeeper import paths
from pykraft.zookeeper.errors import ConnectionLossError, RequestFailedError, RequestTooLargeError, ZkCode
from pykraft.zookeeper.port import ANY_VERSION, Check, Create, DataResult, Delete, Op, OpResult, SetData, Stat
from pykraft.zookeeper.znodes import ZnodeError

from .house import make, text

KRAFT_ID, KRAFT_EPOCH = 3000, 42
LEADER = EMPTY.with_leader(KRAFT_ID, KRAFT_EPOCH).with_offset(100, KRAFT_EPOCH)


def controller(broker: int, kraft_epoch: int | None = -1) -> str:
    if kraft_epoch is None:
        return json.dumps({"version": 1, "brokerid": broker, "timestamp": "1"})
    return json.dumps({"version": 2, "brokerid": broker, "timestamp": "1", "kraftControllerEpoch": kraft_epoch})


@pytest.fixture
def server() -> FakeZooKeeper:
    made = FakeZooKeeper(now_ms=lambda: 1)
    make(made, {paths.CONTROLLER_EPOCH: "50"})
    return made


@pytest.fixture
def zookeeper(server: FakeZooKeeper) -> MigrationZooKeeper:
    return MigrationZooKeeper(server.connect(), lambda: 1_700_000_000_000)


async def claimed(
    zookeeper: MigrationZooKeeper, state: ZkMigrationLeadershipState = LEADER
) -> ZkMigrationLeadershipState:
    outcome = await zookeeper.claim(state)
    assert isinstance(outcome, ZkMigrationLeadershipState), outcome
    return outcome


def operation(*ops: Op) -> list[ZkOperation]:
    return [ZkOperation(ZkOperationType.UPDATE_CONFIG, "x", ops)]


# -- the state in /migration -------------------------------------------------------------------------------------


async def test_migration_is_created_with_nothing_known_and_read_back(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    first = await zookeeper.read_migration_state()
    assert (first.kraft_metadata_offset, first.migration_zk_version) == (-1, 0)
    assert json.loads(text(server, paths.MIGRATION)) == {
        "version": 0,
        "kraft_controller_id": -1,
        "kraft_controller_epoch": -1,
        "kraft_metadata_offset": -1,
        "kraft_metadata_epoch": -1,
    }
    assert set(paths.PERSISTENT_PATHS) <= server.tree.nodes.keys()
    state = await claimed(zookeeper)
    assert await zookeeper.read_migration_state() == ZkMigrationLeadershipState(
        kraft_controller_id=KRAFT_ID,
        kraft_controller_epoch=KRAFT_EPOCH,
        kraft_metadata_offset=100,
        kraft_metadata_epoch=KRAFT_EPOCH,
        last_updated_time_ms=1,
        migration_zk_version=state.migration_zk_version,
    )


@pytest.mark.parametrize("content", ["", "{", '{"version":1}', '{"version":0,"kraft_controller_id":1}'])
async def test_a_broken_migration_znode_is_named(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper, content: str
) -> None:
    make(server, {paths.MIGRATION: content})
    with pytest.raises(ZnodeError, match=r"znode /migration .*delete it if no migration was under way"):
        await zookeeper.read_migration_state()


# -- the claim ---------------------------------------------------------------------------------------------------


async def test_c56_a_claim_tells_brokers_that_the_controller_is_krafts(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    state = await claimed(zookeeper)
    assert (state.zk_controller_epoch, state.controller_epoch_zk_version) == (51, 1)
    assert text(server, paths.CONTROLLER_EPOCH) == "51"
    assert json.loads(text(server, paths.CONTROLLER)) == {
        "version": 2,
        "brokerid": KRAFT_ID,
        "timestamp": "1700000000000",
        "kraftControllerEpoch": KRAFT_EPOCH,
    }
    assert server.tree.nodes[paths.CONTROLLER].ephemeral_owner == 0


@pytest.mark.parametrize("kraft_epoch", [None, -1, KRAFT_EPOCH - 1])
async def test_over_another_controller(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper, kraft_epoch: int | None
) -> None:
    make(server, {paths.CONTROLLER: controller(1, kraft_epoch)})
    assert (await claimed(zookeeper)).zk_controller_epoch == 51
    assert json.loads(text(server, paths.CONTROLLER))["brokerid"] == KRAFT_ID


@pytest.mark.parametrize("kraft_epoch", [KRAFT_EPOCH, KRAFT_EPOCH + 1])
async def test_not_over_a_kraft_controller_that_is_as_new(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper, kraft_epoch: int
) -> None:
    make(server, {paths.CONTROLLER: controller(3001, kraft_epoch)})
    outcome = await zookeeper.claim(LEADER)
    assert isinstance(outcome, ClaimRefusal)
    assert f"held by KRaft controller 3001 of epoch {kraft_epoch}" in outcome.reason
    assert text(server, paths.CONTROLLER_EPOCH) == "50"


async def test_without_a_controller_epoch(zookeeper: MigrationZooKeeper, server: FakeZooKeeper) -> None:
    server.tree.multi([Delete(paths.CONTROLLER_EPOCH, ANY_VERSION)], 0, ())
    outcome = await zookeeper.claim(LEADER)
    assert isinstance(outcome, ClaimRefusal)
    assert "ZooKeeper has no /controller_epoch" in outcome.reason
    assert "start the ZooKeeper-mode brokers first" in outcome.reason


@pytest.mark.parametrize(("path", "content"), [(paths.CONTROLLER_EPOCH, "four"), (paths.CONTROLLER, "{")])
async def test_a_broken_znode_is_named(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper, path: str, content: str
) -> None:
    if path not in server.tree.nodes:
        make(server, {path: ""})
    server.tree.multi([SetData(path, content.encode(), ANY_VERSION)], 0, ())
    with pytest.raises(ZnodeError, match=f"znode {path} "):
        await zookeeper.claim(LEADER)


async def test_l21_a_claim_can_be_made_twice_in_one_epoch(server: FakeZooKeeper, zookeeper: MigrationZooKeeper) -> None:
    first = await claimed(zookeeper)
    again = await claimed(zookeeper)
    assert (again.zk_controller_epoch, again.controller_epoch_zk_version) == (51, 1)
    assert again.migration_zk_version == first.migration_zk_version + 1
    assert text(server, paths.CONTROLLER_EPOCH) == "51"


async def test_l21_a_claim_whose_answer_was_lost_is_found_out_about(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    server.inject(Fault(FaultKind.LOSE_AFTER_APPLY, On.WRITE, paths.CONTROLLER_EPOCH))
    with pytest.raises(ConnectionLossError):
        await zookeeper.claim(LEADER)
    assert (await claimed(zookeeper)).zk_controller_epoch == 51
    assert text(server, paths.CONTROLLER_EPOCH) == "51"


def found(data: str, version: int) -> DataResult:
    return DataResult(data.encode(), Stat(1, 1, 1, version, 0, 0))


def test_an_epoch_that_changed_beside_an_own_controller_is_not_trusted() -> None:
    plan = plan_claim(found("4", 4), found(controller(KRAFT_ID, KRAFT_EPOCH), 0), found("5", 5), LEADER, 1)
    assert isinstance(plan, ClaimRefusal)
    plan = plan_claim(found("5", 5), found(controller(KRAFT_ID, KRAFT_EPOCH), 0), found("5", 5), LEADER, 1)
    assert plan == AlreadyClaimed(LEADER.with_zk_controller(5, 5))


def test_the_transaction_is_in_kafkas_order() -> None:
    plan = plan_claim(found("54", 9), found(controller(1), 3), found("54", 9), LEADER, 1)
    assert isinstance(plan, ClaimAttempt)
    assert [(type(op), op.path) for op in plan.ops] == [
        (SetData, paths.CONTROLLER_EPOCH),
        (Delete, paths.CONTROLLER),
        (Create, paths.CONTROLLER),
    ]
    assert isinstance(plan.ops[0], SetData)
    assert isinstance(plan.ops[1], Delete)
    assert (plan.ops[0].version, plan.ops[0].data, plan.ops[1].version) == (9, b"55", 3)


def test_the_epoch_in_zookeeper_is_above_every_kraft_epoch_in_partition_states() -> None:
    """A ZooKeeper controller after a roll-back elects no leader of a partition with a higher epoch than its own."""
    plan = plan_claim(found("4", 9), None, found("4", 9), LEADER, 1)
    assert isinstance(plan, ClaimAttempt)
    assert plan.zk_controller_epoch == KRAFT_EPOCH + 1


async def elect_in_zookeeper(server: FakeZooKeeper, broker: int, epoch: str) -> None:
    """What the brokers do when an operator has deleted /controller."""
    server.tree.multi([
        Delete(paths.CONTROLLER, ANY_VERSION), SetData(paths.CONTROLLER_EPOCH, epoch.encode(), ANY_VERSION),
        Create(paths.CONTROLLER, controller(broker).encode()),
    ], 0, ())  # fmt: skip


@pytest.mark.parametrize("still_there", [True, False])
async def test_c67_no_claim_of_a_migrated_zookeeper_that_was_rolled_back(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper, still_there: bool
) -> None:
    """KAFKA-17146, the other way round: the log has the copy, and the ZooKeeper controller went on without it."""
    await claimed(zookeeper)
    next_term = LEADER.with_leader(KRAFT_ID, KRAFT_EPOCH + 1)
    next_term = await claimed(zookeeper, next_term)
    await elect_in_zookeeper(server, 1, "60")
    if not still_there:
        server.tree.multi([Delete(paths.CONTROLLER, ANY_VERSION)], 0, ())
    outcome = await zookeeper.claim(LEADER.with_leader(KRAFT_ID, KRAFT_EPOCH + 2))
    assert isinstance(outcome, ClaimRefusal)
    assert "the migration was rolled back" in outcome.reason
    assert "delete /migration and start with an empty data directory" in outcome.reason
    assert text(server, paths.CONTROLLER_EPOCH) == "60"
    server.tree.multi([SetData(paths.MIGRATION, next_term.encode(), ANY_VERSION)], 0, ())
    await claimed(zookeeper, LEADER.with_leader(KRAFT_ID, KRAFT_EPOCH + 2))


async def test_a_deleted_controller_alone_is_no_roll_back(server: FakeZooKeeper, zookeeper: MigrationZooKeeper) -> None:
    await claimed(zookeeper)
    server.tree.multi([Delete(paths.CONTROLLER, ANY_VERSION)], 0, ())
    await claimed(zookeeper, LEADER.with_leader(KRAFT_ID, KRAFT_EPOCH + 1))


async def test_a_first_migration_takes_over_from_any_zookeeper_controller(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    await zookeeper.read_migration_state()
    make(server, {paths.CONTROLLER: controller(0)})
    await elect_in_zookeeper(server, 1, "60")
    await claimed(zookeeper, EMPTY.with_leader(KRAFT_ID, KRAFT_EPOCH))


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([ZkCode.BAD_VERSION], "another controller was elected"),
        ([ZkCode.OK, ZkCode.NO_NODE], "/controller vanished"),
        ([ZkCode.OK, ZkCode.OK, ZkCode.NODE_EXISTS], "another controller created /controller"),
    ],
)
def test_a_lost_race_is_told(codes: Sequence[ZkCode], expected: str) -> None:
    plan = plan_claim(found("4", 9), found(controller(1), 3), found("4", 9), LEADER, 1)
    assert isinstance(plan, ClaimAttempt)
    outcome = judge_claim(plan, [OpResult(code) for code in codes], LEADER)
    assert isinstance(outcome, ClaimRefusal)
    assert expected in outcome.reason
    with pytest.raises(RequestFailedError, match="claiming /controller"):
        judge_claim(plan, [OpResult(ZkCode.OK), OpResult(ZkCode.NO_AUTH)], LEADER)


# -- the fence ---------------------------------------------------------------------------------------------------


async def test_c3_every_transaction_checks_and_only_the_last_stores(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    state = await claimed(zookeeper)
    make(server, {"/a": None})
    many = operation(*(Create(f"/a/{n}") for n in range(1_200)))
    before = server.tree.zxid
    after = await zookeeper.write(many, state.with_offset(555, 7), store=True)
    assert server.tree.zxid - before == 3
    assert after.migration_zk_version == state.migration_zk_version + 1
    assert json.loads(text(server, paths.MIGRATION))["kraft_metadata_offset"] == 555
    same = await zookeeper.write(operation(SetData("/a", b"x", ANY_VERSION)), after, store=False)
    assert same.migration_zk_version == after.migration_zk_version
    assert await zookeeper.write([], same, store=False) == same


def test_c3_the_fence_is_epoch_first_then_migration() -> None:
    state = LEADER.with_zk_controller(2, 5).with_migration_version(8)
    op = Create("/x")
    assert fenced([op], state, store=False) == [Check(paths.CONTROLLER_EPOCH, 5), Check(paths.MIGRATION, 8), op]
    assert fenced([op], state, store=True) == [
        Check(paths.CONTROLLER_EPOCH, 5),
        SetData(paths.MIGRATION, state.encode(), 8),
        op,
    ]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([ZkCode.OK, ZkCode.OK, ZkCode.OK], Applied(None)),
        ([ZkCode.BAD_VERSION], LostClaim()),
        ([ZkCode.NO_NODE], LostClaim()),
        ([ZkCode.OK, ZkCode.BAD_VERSION], MigrationChanged()),
        ([ZkCode.OK, ZkCode.NO_NODE], MigrationChanged()),
        ([ZkCode.OK, ZkCode.OK, ZkCode.OK, ZkCode.NO_NODE], TurnedDown(1, ZkCode.NO_NODE)),
        ([ZkCode.NO_AUTH], TurnedDown(-2, ZkCode.NO_AUTH)),
        ([ZkCode.OK, ZkCode.NO_AUTH], TurnedDown(-1, ZkCode.NO_AUTH)),
    ],
)
def test_what_results_mean(codes: Sequence[ZkCode], expected: object) -> None:
    assert judge([OpResult(code) for code in codes]) == expected


async def test_nothing_can_be_written_without_a_claim(server: FakeZooKeeper, zookeeper: MigrationZooKeeper) -> None:
    await zookeeper.read_migration_state()
    with pytest.raises(FencedError):
        await zookeeper.write(operation(Create("/x")), LEADER, store=True)
    assert "/x" not in server.tree.nodes


async def test_a_write_after_another_election_changes_nothing(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    state = await claimed(zookeeper)
    successor = MigrationZooKeeper(server.connect(), lambda: 1)
    await claimed(successor, EMPTY.with_leader(3001, KRAFT_EPOCH + 1))
    with pytest.raises(FencedError, match="KRaft controller 3001 is in /controller now"):
        await zookeeper.write(operation(Create("/x")), state, store=True)
    with pytest.raises(FencedError, match="3001 of the later epoch 43"):
        await zookeeper.learn_version(state)
    assert "/x" not in server.tree.nodes


async def test_c49_a_late_write_of_the_predecessor_to_migration_is_written_over(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    state = await claimed(zookeeper)
    stale = EMPTY.with_leader(2999, KRAFT_EPOCH - 1).with_offset(3, 1)
    server.tree.multi([SetData(paths.MIGRATION, stale.encode(), ANY_VERSION)], 0, ())
    with pytest.raises(MigrationChangedError):
        await zookeeper.write(operation(Create("/x")), state, store=True)
    assert "/x" not in server.tree.nodes
    learnt = await zookeeper.learn_version(state)
    await zookeeper.write(operation(Create("/x")), learnt, store=True)
    assert json.loads(text(server, paths.MIGRATION))["kraft_controller_id"] == KRAFT_ID


async def test_l14_a_lost_answer_does_not_fence_its_sender(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    state = await claimed(zookeeper)
    server.inject(Fault(FaultKind.LOSE_AFTER_APPLY, On.WRITE, "/x"))
    with pytest.raises(ConnectionLossError):
        await zookeeper.write(operation(Create("/x", b"1")), state, store=True)
    again = await zookeeper.write(operation(Create("/x", b"2")), state.with_migration_version(-2), store=True)
    assert text(server, "/x") == "2"
    assert again.migration_zk_version == server.tree.nodes[paths.MIGRATION].version


async def test_migration_deleted_by_hand_comes_back(server: FakeZooKeeper, zookeeper: MigrationZooKeeper) -> None:
    state = await claimed(zookeeper)
    server.tree.multi([Delete(paths.MIGRATION, ANY_VERSION)], 0, ())
    with pytest.raises(MigrationChangedError):
        await zookeeper.write([], state, store=True)
    assert (await zookeeper.learn_version(state)).migration_zk_version == 0


# -- operations that do not fit ----------------------------------------------------------------------------------


async def test_what_exists_decides_and_not_what_was_guessed(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    state = await claimed(zookeeper)
    make(server, {"/there": "old", "/box": None, "/full/a/b": None, "/full/c": None})
    await zookeeper.write(
        operation(
            Create("/there", b"new"),
            Create("/box"),
            SetData("/far/away", b"made", ANY_VERSION),
            Create("/deep/er/still", b"made"),
            Delete("/gone", ANY_VERSION),
            Delete("/full", ANY_VERSION),
            Create("/changes/change_", b"n", sequential=True),
            SetData("/there", b"newer", ANY_VERSION),
        ),
        state,
        store=True,
    )
    nodes = server.tree.nodes
    assert (nodes["/there"].data, nodes["/there"].version) == (b"newer", 2)
    assert (nodes["/far/away"].data, nodes["/deep/er/still"].data) == (b"made", b"made")
    assert nodes["/changes/change_0000000000"].data == b"n"
    assert "/full" not in nodes
    assert nodes["/box"].version == 0


async def test_l3_the_version_is_carried_over_what_existed_already(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    """Kafka keeps the old version after NODEEXISTS although the last transaction of the topic was applied."""
    state = await claimed(zookeeper)
    make(server, {paths.topic("t"): "{}", paths.topic_partition_state("t", 0): "old"})
    create = operation(
        Create(paths.topic("t"), b"{}"),
        Create(paths.topic_partitions("t")),
        *(Create(f"{paths.topic_partitions('t')}/{n}{rest}", b"new") for n in range(400) for rest in ("", "/state")),
    )
    for _ in range(3):
        state = await zookeeper.write(create, state, store=True)
        assert state.migration_zk_version == server.tree.nodes[paths.MIGRATION].version
    assert text(server, paths.topic_partition_state("t", 0)) == "new"


async def test_operations_split_over_transactions_are_put_right_in_order(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    state = await claimed(zookeeper)
    make(server, {"/t": None, **{f"/t/{n}": "old" for n in range(700)}})
    ops: list[Op] = [Delete(f"/t/{n}", ANY_VERSION) for n in range(700)]
    ops += [Create(f"/t/{n}", b"new") for n in range(600)]
    await zookeeper.write(operation(*ops, *ops), state, store=True)
    assert len(server.tree.nodes["/t"].children) == 600
    assert text(server, "/t/599") == "new"


async def test_a_topics_znode_is_never_made_up(server: FakeZooKeeper, zookeeper: MigrationZooKeeper) -> None:
    state = await claimed(zookeeper)
    make(server, {paths.BROKER_TOPICS: None})
    with pytest.raises(UnrepairableError, match="/brokers/topics/t is gone"):
        await zookeeper.write(operation(SetData(paths.topic_partition_state("t", 0), b"{}", -1)), state, store=True)
    assert paths.topic("t") not in server.tree.nodes


async def test_l5_a_refusal_that_repeating_does_not_help_is_raised(
    server: FakeZooKeeper, zookeeper: MigrationZooKeeper
) -> None:
    state = await claimed(zookeeper)
    server.inject(Fault(FaultKind.NO_AUTH, On.WRITE, "/x"))
    with pytest.raises(RequestFailedError, match=r"writing /x: ZooKeeper answered NO_AUTH"):
        await zookeeper.write(operation(Create("/x")), state, store=True)


async def test_one_znode_beyond_the_limit_is_an_error_with_its_size(server: FakeZooKeeper) -> None:
    zookeeper = MigrationZooKeeper(server.connect(request_bytes_max=4_000), lambda: 1)
    state = await claimed(zookeeper)
    with pytest.raises(RequestTooLargeError, match="exceeds the limit of 4000 bytes"):
        await zookeeper.write(operation(Create("/x", bytes(5_000))), state, store=True)


def test_splitting_keeps_order_and_limits() -> None:
    ops: list[Op] = [Create(f"/{n}", bytes(100)) for n in range(1_001)]
    parts = list(split(ops, 1_000_000))
    assert [len(part) for part in parts] == [500, 500, 1]
    assert [op for part in parts for op in part] == ops
    assert max(len(part) for part in split(ops, 10_000)) < 60


def test_repair_looks_at_ancestors_and_follows_its_own_steps() -> None:
    ops: list[Op] = [
        Delete("/a/b", -1),
        Create("/a/b", b"1"),
        SetData("/c/d", b"2", -1),
        Create("/e/n_", b"", sequential=True),
    ]
    assert paths_to_look_at(ops) == ["/a", "/a/b", "/c", "/c/d", "/e"]
    assert repair(ops, {"/a", "/a/b"}) == [
        Delete("/a/b", -1),
        Create("/a/b", b"1"),
        Create("/c"),
        Create("/c/d", b"2"),
        Create("/e"),
        Create("/e/n_", b"", sequential=True),
    ]


def test_descendants_go_before_their_parents_and_only_once() -> None:
    ops: list[Op] = [Delete("/t/p/0/state", -1), Delete("/t", -1)]
    repaired = delete_descendants(ops, 1, ["/t/p", "/t/p/0", "/t/p/0/state", "/t/p/1"])
    assert [op.path for op in repaired] == ["/t/p/0/state", "/t/p/0", "/t/p/1", "/t/p", "/t"]
