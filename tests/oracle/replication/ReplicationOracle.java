package org.apache.kafka.controller;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.StaleBrokerEpochException;
import org.apache.kafka.common.message.AlterPartitionReassignmentsRequestData;
import org.apache.kafka.common.message.AlterPartitionRequestData;
import org.apache.kafka.common.message.BrokerHeartbeatRequestData;
import org.apache.kafka.common.message.BrokerHeartbeatResponseData;
import org.apache.kafka.common.message.BrokerRegistrationRequestData;
import org.apache.kafka.common.message.BrokerRegistrationResponseData;
import org.apache.kafka.common.message.CreatePartitionsRequestData;
import org.apache.kafka.common.message.CreatePartitionsResponseData;
import org.apache.kafka.common.message.CreateTopicsRequestData;
import org.apache.kafka.common.message.ElectLeadersRequestData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.metadata.BrokerRegistrationChangeRecord;
import org.apache.kafka.common.metadata.ConfigRecord;
import org.apache.kafka.common.metadata.FeatureLevelRecord;
import org.apache.kafka.common.metadata.FenceBrokerRecord;
import org.apache.kafka.common.metadata.PartitionChangeRecord;
import org.apache.kafka.common.metadata.PartitionRecord;
import org.apache.kafka.common.metadata.RegisterBrokerRecord;
import org.apache.kafka.common.metadata.RemoveTopicRecord;
import org.apache.kafka.common.metadata.TopicRecord;
import org.apache.kafka.common.metadata.UnfenceBrokerRecord;
import org.apache.kafka.common.metadata.UnregisterBrokerRecord;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.requests.ApiError;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.BrokerHeartbeatReply;
import org.apache.kafka.metadata.BrokerRegistrationReply;
import org.apache.kafka.server.common.ApiMessageAndVersion;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.AbstractMap.SimpleImmutableEntry;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.Supplier;

/**
 * Kafka's own cluster, replication, configuration and feature managers without a quorum: each line of the input is an
 * operation, each line of the output what it answered and the records it wrote, which are replayed at once. The clock
 * moves when told to.
 */
public class ReplicationOracle {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    static final class Clock implements Time {
        long nowNs = 1_000_000_000_000_000L;

        @Override public long milliseconds() {
            return nowNs / 1_000_000;
        }
        @Override public long nanoseconds() {
            return nowNs;
        }
        @Override public void sleep(long ms) {
            throw new UnsupportedOperationException();
        }
        @Override public void waitObject(Object object, Supplier<Boolean> condition, long deadlineMs) {
            throw new UnsupportedOperationException();
        }
    }

    private final Clock clock = new Clock();
    private final Managers managers = new Release(clock);
    private long nextOffset = 0;

    public static void main(String[] args) throws Exception {
        ReplicationOracle oracle = new ReplicationOracle();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(oracle.answer(MAPPER.readTree(line)));
            System.out.flush();
        }
    }

    private ObjectNode answer(JsonNode question) throws Exception {
        ObjectNode answer = MAPPER.createObjectNode();
        ArrayNode written = answer.putArray("records");
        try {
            ControllerResult<?> result = run(question, answer);
            for (ApiMessageAndVersion record : result.records()) {
                written.addObject()
                    .put("name", record.message().getClass().getSimpleName())
                    .put("version", record.version())
                    .set("value", json(record.message(), record.version()));
                replay(record.message());
            }
        } catch (ApiException error) {
            answer.put("error", Errors.forException(error).code());
        }
        return answer;
    }

    private ControllerResult<?> run(JsonNode question, ObjectNode answer) throws Exception {
        String api = question.get("api").asText();
        short version = (short) question.path("version").asInt();
        ReplicationControlManager replication = managers.replication;
        ControllerRequestContext context = new ControllerRequestContext(
            new RequestHeaderData().setRequestApiVersion(version), KafkaPrincipal.ANONYMOUS, OptionalLong.empty());
        switch (api) {
            case "replay": {
                List<ApiMessageAndVersion> records = new ArrayList<>();
                for (JsonNode record : question.get("records")) {
                    short recordVersion = (short) record.get("version").asInt();
                    String name = "org.apache.kafka.common.metadata." + record.get("name").asText();
                    records.add(new ApiMessageAndVersion(read(name, record.get("value"), recordVersion), recordVersion));
                }
                return ControllerResult.of(records, null);
            }
            case "activate":
                managers.cluster.activate();
                return ControllerResult.of(List.of(), null);
            case "advance":
                clock.nowNs += question.get("ms").asLong() * 1_000_000;
                return ControllerResult.of(List.of(), null);
            case "fence": {
                ControllerResult<?> result = replication.maybeFenceOneStaleBroker();
                answer.put("more", Boolean.TRUE.equals(result.response()) || !result.records().isEmpty());
                return result;
            }
            case "balance":
                return replication.maybeBalancePartitionLeaders();
            case "electUnclean":
                return managers.electUnclean();
            case "unregister":
                return replication.unregisterBroker(question.get("broker").asInt());
            case "config":
                return config(question, answer);
            case "features": {
                ControllerResult<ApiError> result = managers.update(
                    Map.of(question.get("name").asText(), (short) question.get("level").asInt()),
                    question.get("down").asBoolean());
                answer.put("error", result.response().error().code());
                return result;
            }
            case "deleteTopic":
                return replication.deleteTopics(context, List.of(Uuid.fromString(question.get("id").asText())));
            default:
                return request(api, version, context, question.get("request"), answer);
        }
    }

    private ControllerResult<?> request(
        String api, short version, ControllerRequestContext context, JsonNode body, ObjectNode answer
    ) throws Exception {
        ReplicationControlManager replication = managers.replication;
        ApiMessage request = read("org.apache.kafka.common.message." + api + "RequestData", body, version);
        ControllerResult<?> result;
        ApiMessage response;
        switch (api) {
            case "BrokerRegistration": {
                result = managers.register((BrokerRegistrationRequestData) request, nextOffset, version);
                response = new BrokerRegistrationResponseData()
                    .setBrokerEpoch(((BrokerRegistrationReply) result.response()).epoch());
                break;
            }
            case "BrokerHeartbeat": {
                result = heartbeat((BrokerHeartbeatRequestData) request);
                BrokerHeartbeatReply reply = (BrokerHeartbeatReply) result.response();
                response = new BrokerHeartbeatResponseData().setIsCaughtUp(reply.isCaughtUp())
                    .setIsFenced(reply.isFenced()).setShouldShutDown(reply.shouldShutDown());
                break;
            }
            case "CreatePartitions": {
                CreatePartitionsRequestData asked = (CreatePartitionsRequestData) request;
                var created = replication.createPartitions(context, new ArrayList<>(asked.topics()));
                result = created;
                response = new CreatePartitionsResponseData().setResults(created.response());
                break;
            }
            default:
                result = plain(api, context, request);
                response = (ApiMessage) result.response();
        }
        answer.set("response", json(response, version));
        return result;
    }

    private ControllerResult<?> plain(String api, ControllerRequestContext context, ApiMessage request) {
        ReplicationControlManager replication = managers.replication;
        switch (api) {
            case "CreateTopics":
                return replication.createTopics(context, (CreateTopicsRequestData) request, Set.of());
            case "AlterPartition":
                return replication.alterPartition(context, (AlterPartitionRequestData) request);
            case "ElectLeaders":
                return replication.electLeaders((ElectLeadersRequestData) request);
            case "AlterPartitionReassignments":
                return replication.alterPartitionReassignments((AlterPartitionReassignmentsRequestData) request);
            default:
                return managers.later(request);
        }
    }

    /** As QuorumController does around the manager's part. */
    private ControllerResult<BrokerHeartbeatReply> heartbeat(BrokerHeartbeatRequestData request) {
        managers.heardOf(request.brokerId(), request.brokerEpoch());
        OptionalLong registered = managers.cluster.registerBrokerRecordOffset(request.brokerId());
        if (!registered.isPresent()) {
            throw new StaleBrokerEpochException("not registered");
        }
        ControllerResult<BrokerHeartbeatReply> result =
            managers.replication.processBrokerHeartbeat(request, registered.getAsLong());
        if (result.response().inControlledShutdown()) {
            managers.cluster.heartbeatManager().maybeUpdateControlledShutdownOffset(
                request.brokerId(), nextOffset + result.records().size() - 1);
        }
        return result;
    }

    private ControllerResult<?> config(JsonNode question, ObjectNode answer) {
        ConfigResource resource = new ConfigResource(
            ConfigResource.Type.forId((byte) question.get("type").asInt()), question.get("name").asText());
        String value = question.get("value").isNull() ? null : question.get("value").asText();
        OpType op = value == null ? OpType.DELETE : OpType.SET;
        ControllerResult<Map<ConfigResource, ApiError>> result = managers.configs.incrementalAlterConfigs(
            Map.of(resource, Map.of(question.get("key").asText(), new SimpleImmutableEntry<>(op, value))), false);
        answer.put("error", result.response().get(resource).error().code());
        return result;
    }

    private void replay(ApiMessage record) {
        long offset = nextOffset++;
        if (record instanceof RegisterBrokerRecord) {
            managers.cluster.replay((RegisterBrokerRecord) record, offset);
        } else if (record instanceof UnregisterBrokerRecord) {
            managers.cluster.replay((UnregisterBrokerRecord) record);
        } else if (record instanceof BrokerRegistrationChangeRecord) {
            managers.cluster.replay((BrokerRegistrationChangeRecord) record);
        } else if (record instanceof FenceBrokerRecord) {
            managers.cluster.replay((FenceBrokerRecord) record);
        } else if (record instanceof UnfenceBrokerRecord) {
            managers.cluster.replay((UnfenceBrokerRecord) record);
        } else if (record instanceof TopicRecord) {
            managers.replication.replay((TopicRecord) record);
        } else if (record instanceof PartitionRecord) {
            managers.replication.replay((PartitionRecord) record);
        } else if (record instanceof PartitionChangeRecord) {
            managers.replication.replay((PartitionChangeRecord) record);
        } else if (record instanceof RemoveTopicRecord) {
            managers.replication.replay((RemoveTopicRecord) record);
        } else if (record instanceof ConfigRecord) {
            managers.configs.replay((ConfigRecord) record);
        } else if (record instanceof FeatureLevelRecord) {
            managers.features.replay((FeatureLevelRecord) record);
        } else if (!managers.replay(record)) {
            throw new IllegalArgumentException(record.toString());
        }
    }

    private static ApiMessage read(String name, JsonNode value, short version) throws ReflectiveOperationException {
        return (ApiMessage) Class.forName(name + "JsonConverter")
            .getMethod("read", JsonNode.class, short.class).invoke(null, value, version);
    }

    private static JsonNode json(ApiMessage message, short version) throws ReflectiveOperationException {
        Class<?> type = message.getClass();
        return (JsonNode) Class.forName(type.getName() + "JsonConverter")
            .getMethod("write", type, short.class).invoke(null, message, version);
    }
}
