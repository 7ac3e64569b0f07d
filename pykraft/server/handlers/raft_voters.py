"""AddRaftVoter (80), RemoveRaftVoter (81), UpdateRaftVoter (82): v0. Changes of the voter set.

- This node is the only voter, so all three are refused: 104 for another cluster id, then, UpdateRaftVoter only, 74 or
  75 for another epoch, then UNSUPPORTED_VERSION (35), as Kafka does at kraft.version 0.
- At kraft.version 1 no voter can be removed: VOTER_NOT_FOUND (127), as Kafka answers for the last one and for others.
- Adding and removing need ALTER on the cluster, updating CLUSTER_ACTION.
- Errors: code and message at the top; UpdateRaftVoter the code and the leader.
Left out: voters that join, which kraft.version 1 allows, refused as at 0; the checks of the voter's id and endpoints,
which would come before the refusal.
Source: raft/internals/{AddVoter,RemoveVoter,UpdateVoter}Handler.java.
"""

from __future__ import annotations

from pykraft.controller.errors import ApiError
from pykraft.protocol.api import ApiKey
from pykraft.protocol.errors import ErrorCode
from pykraft.protocol.messages.add_raft_voter_request import AddRaftVoterRequestData
from pykraft.protocol.messages.add_raft_voter_response import AddRaftVoterResponseData
from pykraft.protocol.messages.remove_raft_voter_request import RemoveRaftVoterRequestData
from pykraft.protocol.messages.remove_raft_voter_response import RemoveRaftVoterResponseData
from pykraft.protocol.messages.update_raft_voter_request import UpdateRaftVoterRequestData
from pykraft.protocol.messages.update_raft_voter_response import CurrentLeader, UpdateRaftVoterResponseData
from pykraft.protocol.uuids import uuid_to_text
from pykraft.server.registry import RequestContext, RequestError, handles, top_level_error


def _place_update_error(
    context: RequestContext, request: UpdateRaftVoterRequestData, error: RequestError
) -> UpdateRaftVoterResponseData:
    if error.code is ErrorCode.CLUSTER_AUTHORIZATION_FAILED:
        return UpdateRaftVoterResponseData(error_code=error.code)
    node = context.node
    leader = CurrentLeader(
        leader_id=node.config.node_id,
        leader_epoch=node.quorum.quorum.epoch,
        host=node.endpoint.host,
        port=node.endpoint.port,
    )
    return UpdateRaftVoterResponseData(error_code=error.code, current_leader=leader)


@handles(ApiKey.ADD_RAFT_VOTER, place_error=top_level_error)
async def handle_add(context: RequestContext, request: AddRaftVoterRequestData) -> AddRaftVoterResponseData:
    raise _refusal(context, request.cluster_id)


@handles(ApiKey.REMOVE_RAFT_VOTER, place_error=top_level_error)
async def handle_remove(context: RequestContext, request: RemoveRaftVoterRequestData) -> RemoveRaftVoterResponseData:
    error = _refusal(context, request.cluster_id)
    if error.code is ErrorCode.UNSUPPORTED_VERSION and context.node.kraft_version:
        who = f"{request.voter_id}-{uuid_to_text(request.voter_directory_id)}"
        reason = f"Cannot remove voter {who}: the only voter is node {context.node.config.node_id}, and has to stay"
        raise ApiError(ErrorCode.VOTER_NOT_FOUND, reason)
    raise error


@handles(ApiKey.UPDATE_RAFT_VOTER, place_error=_place_update_error)
async def handle_update(context: RequestContext, request: UpdateRaftVoterRequestData) -> UpdateRaftVoterResponseData:
    ours = context.node.quorum.quorum.epoch
    error = _refusal(context, request.cluster_id)
    if error.code is not ErrorCode.INCONSISTENT_CLUSTER_ID and request.current_leader_epoch != ours:
        newer = request.current_leader_epoch > ours
        code = ErrorCode.UNKNOWN_LEADER_EPOCH if newer else ErrorCode.FENCED_LEADER_EPOCH
        raise ApiError(code, f"the epoch is {ours}")
    raise error


def _refusal(context: RequestContext, cluster_id: str | None) -> ApiError:
    if cluster_id is not None and cluster_id != context.node.cluster_id:
        return ApiError(ErrorCode.INCONSISTENT_CLUSTER_ID, f"this is cluster {context.node.cluster_id}")
    return ApiError(
        ErrorCode.UNSUPPORTED_VERSION,
        "Cluster doesn't support changing the voter set: "
        + ("this node can only be the only voter" if context.node.kraft_version else "kraft.version is 0"),
    )
