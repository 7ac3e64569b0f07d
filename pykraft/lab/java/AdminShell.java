import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.token.delegation.DelegationToken;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's own AdminClient and tools behind JSON lines, so that many calls cost one JVM start.
 *
 * <p>The first argument is a JSON object of client settings. Each line on stdin is {"id": N, "op": "…", …}; its answer is
 * {"id": N, "result": …} or {"id": N, "error": "TOPIC_ALREADY_EXISTS", "message": "…"}. Ends at the end of stdin.
 */
public final class AdminShell {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long CALL_TIMEOUT_S = 60;

    /** Thrown in place of ending the JVM when a tool wants to exit. */
    private static final class ToolExit extends RuntimeException {
        ToolExit(int code) {
            super("exit " + code, null, false, false);
        }
    }

    private final Properties settings = new Properties();
    private Admin admin;

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);
        AdminShell shell = new AdminShell();
        JSON.readTree(args[0]).fields().forEachRemaining(e -> shell.settings.put(e.getKey(), e.getValue().asText()));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode request = JSON.readTree(line);
            ObjectNode reply = JSON.createObjectNode();
            reply.set("id", request.get("id"));
            try {
                reply.set("result", JSON.valueToTree(shell.call(request.get("op").asText(), request)));
            } catch (Throwable thrown) {
                Throwable cause = thrown instanceof ExecutionException ? thrown.getCause() : thrown;
                reply.put("error", Errors.forException(cause).name());
                reply.put("message", cause.getClass().getSimpleName() + ": " + cause.getMessage());
            }
            out.println(JSON.writeValueAsString(reply));
            out.flush();
        }
        System.exit(0);
    }

    private Admin admin() {
        if (admin == null) {
            admin = Admin.create(settings);
        }
        return admin;
    }

    private Object call(String op, JsonNode r) throws Exception {
        switch (op) {
            case "describe_cluster": return describeCluster();
            case "create_topics": return createTopics(r);
            case "delete_topics": return await(admin().deleteTopics(strings(r.get("names"))).all());
            case "create_partitions": return createPartitions(r);
            case "list_topics":
                return await(admin().listTopics(new ListTopicsOptions().listInternal(true)).names());
            case "describe_topics": return describeTopics(r);
            case "alter_configs": return alterConfigs(r);
            case "describe_configs": return describeConfigs(r);
            case "alter_quotas": return alterQuotas(r);
            case "describe_quotas": return describeQuotas();
            case "alter_scram": return alterScram(r);
            case "describe_scram": return describeScram();
            case "create_acls": return await(admin().createAcls(acls(r)).all());
            case "delete_acls": return deleteAcls(r);
            case "describe_acls": return describeAcls();
            case "create_token": return createToken(r);
            case "renew_token":
                return await(admin().renewDelegationToken(hmac(r), new RenewDelegationTokenOptions()
                    .renewTimePeriodMs(r.get("period_ms").asLong())).expiryTimestamp());
            case "expire_token":
                return await(admin().expireDelegationToken(hmac(r), new ExpireDelegationTokenOptions()
                    .expiryTimePeriodMs(r.get("period_ms").asLong())).expiryTimestamp());
            case "describe_tokens": return describeTokens();
            case "elect_leaders": return electLeaders(r);
            case "reassign": return reassign(r);
            case "list_reassignments": return listReassignments();
            case "describe_features": return describeFeatures();
            case "update_features": return updateFeatures(r);
            case "describe_quorum": return describeQuorum();
            case "unregister_broker": return await(admin().unregisterBroker(r.get("broker").asInt()).all());
            case "tool": return tool(r);
            default: throw new IllegalArgumentException("no such op: " + op);
        }
    }

    private static <T> T await(KafkaFuture<T> future) throws Exception {
        return future.get(CALL_TIMEOUT_S, TimeUnit.SECONDS);
    }

    private static List<String> strings(JsonNode array) {
        List<String> result = new ArrayList<>();
        array.forEach(item -> result.add(item.asText()));
        return result;
    }

    private static List<Integer> integers(JsonNode array) {
        List<Integer> result = new ArrayList<>();
        array.forEach(item -> result.add(item.asInt()));
        return result;
    }

    private static Map<String, String> stringMap(JsonNode object) {
        Map<String, String> result = new LinkedHashMap<>();
        if (object != null) {
            object.fields().forEachRemaining(e -> result.put(e.getKey(), e.getValue().asText()));
        }
        return result;
    }

    private Object describeCluster() throws Exception {
        DescribeClusterResult result = admin().describeCluster();
        List<Object> nodes = new ArrayList<>();
        for (Node node : await(result.nodes())) {
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("id", node.id());
            entry.put("host", node.host());
            entry.put("port", node.port());
            entry.put("rack", node.rack());
            nodes.add(entry);
        }
        Node controller = await(result.controller());
        Map<String, Object> reply = new LinkedHashMap<>();
        reply.put("cluster_id", await(result.clusterId()));
        reply.put("controller", controller == null ? -1 : controller.id());
        reply.put("nodes", nodes);
        return reply;
    }

    private Object createTopics(JsonNode r) throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (JsonNode t : r.get("topics")) {
            NewTopic topic;
            if (t.has("assignment")) {
                Map<Integer, List<Integer>> assignment = new HashMap<>();
                for (JsonNode replicas : t.get("assignment")) {
                    assignment.put(assignment.size(), integers(replicas));
                }
                topic = new NewTopic(t.get("name").asText(), assignment);
            } else {
                topic = new NewTopic(t.get("name").asText(),
                    t.has("partitions") ? Optional.of(t.get("partitions").asInt()) : Optional.empty(),
                    t.has("replication_factor")
                        ? Optional.of((short) t.get("replication_factor").asInt()) : Optional.empty());
            }
            topics.add(topic.configs(stringMap(t.get("configs"))));
        }
        CreateTopicsResult result = admin().createTopics(topics);
        await(result.all());
        Map<String, Object> ids = new LinkedHashMap<>();
        for (NewTopic topic : topics) {
            ids.put(topic.name(), await(result.topicId(topic.name())).toString());
        }
        return ids;
    }

    private Object createPartitions(JsonNode r) throws Exception {
        NewPartitions wanted = NewPartitions.increaseTo(r.get("count").asInt());
        if (r.has("assignments")) {
            List<List<Integer>> assignments = new ArrayList<>();
            r.get("assignments").forEach(replicas -> assignments.add(integers(replicas)));
            wanted = NewPartitions.increaseTo(r.get("count").asInt(), assignments);
        }
        return await(admin().createPartitions(Map.of(r.get("name").asText(), wanted)).all());
    }

    /** The topics named; else all that the broker asked knows, which may be fewer than another one has listed. */
    private Object describeTopics(JsonNode r) throws Exception {
        boolean named = r.has("names");
        Collection<String> names = named ? strings(r.get("names"))
            : await(admin().listTopics(new ListTopicsOptions().listInternal(true)).names());
        Map<String, Object> reply = new LinkedHashMap<>();
        for (KafkaFuture<TopicDescription> asked : admin().describeTopics(names).topicNameValues().values()) {
            TopicDescription topic;
            try {
                topic = await(asked);
            } catch (ExecutionException e) {
                if (!named && e.getCause() instanceof UnknownTopicOrPartitionException) {
                    continue;
                }
                throw e;
            }
            List<Object> partitions = new ArrayList<>();
            for (TopicPartitionInfo p : topic.partitions()) {
                Map<String, Object> partition = new LinkedHashMap<>();
                partition.put("id", p.partition());
                partition.put("leader", p.leader() == null ? -1 : p.leader().id());
                partition.put("replicas", ids(p.replicas()));
                partition.put("isr", ids(p.isr()));
                partitions.add(partition);
            }
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("topic_id", topic.topicId().toString());
            entry.put("internal", topic.isInternal());
            entry.put("partitions", partitions);
            reply.put(topic.name(), entry);
        }
        return reply;
    }

    private static List<Integer> ids(List<Node> nodes) {
        List<Integer> result = new ArrayList<>();
        nodes.forEach(node -> result.add(node.id()));
        return result;
    }

    private static ConfigResource resource(JsonNode r) {
        ConfigResource.Type type = ConfigResource.Type.valueOf(r.get("type").asText().toUpperCase());
        return new ConfigResource(type, r.get("name").asText());
    }

    private Object alterConfigs(JsonNode r) throws Exception {
        Map<ConfigResource, Collection<AlterConfigOp>> changes = new LinkedHashMap<>();
        for (JsonNode entry : r.get("resources")) {
            List<AlterConfigOp> ops = new ArrayList<>();
            stringMap(entry.get("set")).forEach((k, v) ->
                ops.add(new AlterConfigOp(new ConfigEntry(k, v), AlterConfigOp.OpType.SET)));
            stringMap(entry.get("append")).forEach((k, v) ->
                ops.add(new AlterConfigOp(new ConfigEntry(k, v), AlterConfigOp.OpType.APPEND)));
            stringMap(entry.get("subtract")).forEach((k, v) ->
                ops.add(new AlterConfigOp(new ConfigEntry(k, v), AlterConfigOp.OpType.SUBTRACT)));
            if (entry.has("delete")) {
                strings(entry.get("delete")).forEach(k ->
                    ops.add(new AlterConfigOp(new ConfigEntry(k, ""), AlterConfigOp.OpType.DELETE)));
            }
            changes.put(resource(entry), ops);
        }
        return await(admin().incrementalAlterConfigs(changes).all());
    }

    /** Only what was set on that very resource, not defaults or what comes from elsewhere. */
    private Object describeConfigs(JsonNode r) throws Exception {
        List<ConfigResource> resources = new ArrayList<>();
        r.get("resources").forEach(entry -> resources.add(resource(entry)));
        List<Object> reply = new ArrayList<>();
        Map<ConfigResource, Config> found = await(admin().describeConfigs(resources).all());
        for (ConfigResource resource : resources) {
            ConfigEntry.ConfigSource own = resource.type() == ConfigResource.Type.TOPIC
                ? ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG
                : resource.name().isEmpty() ? ConfigEntry.ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
                : ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG;
            Map<String, String> configs = new LinkedHashMap<>();
            for (ConfigEntry entry : found.get(resource).entries()) {
                if (entry.source() == own) {
                    configs.put(entry.name(), entry.value());
                }
            }
            Map<String, Object> item = new LinkedHashMap<>();
            item.put("type", resource.type().name().toLowerCase());
            item.put("name", resource.name());
            item.put("configs", configs);
            reply.add(item);
        }
        return reply;
    }

    private Object alterQuotas(JsonNode r) throws Exception {
        List<ClientQuotaAlteration> changes = new ArrayList<>();
        for (JsonNode entry : r.get("entries")) {
            Map<String, String> entity = new HashMap<>();
            entry.get("entity").fields().forEachRemaining(e ->
                entity.put(e.getKey(), e.getValue().isNull() ? null : e.getValue().asText()));
            List<ClientQuotaAlteration.Op> ops = new ArrayList<>();
            if (entry.has("set")) {
                entry.get("set").fields().forEachRemaining(e ->
                    ops.add(new ClientQuotaAlteration.Op(e.getKey(), e.getValue().asDouble())));
            }
            if (entry.has("delete")) {
                strings(entry.get("delete")).forEach(k -> ops.add(new ClientQuotaAlteration.Op(k, null)));
            }
            changes.add(new ClientQuotaAlteration(new ClientQuotaEntity(entity), ops));
        }
        return await(admin().alterClientQuotas(changes).all());
    }

    private Object describeQuotas() throws Exception {
        List<Object> reply = new ArrayList<>();
        await(admin().describeClientQuotas(ClientQuotaFilter.all()).entities()).forEach((entity, quotas) -> {
            Map<String, Object> item = new LinkedHashMap<>();
            item.put("entity", entity.entries());
            item.put("quotas", quotas);
            reply.add(item);
        });
        return reply;
    }

    private Object alterScram(JsonNode r) throws Exception {
        List<UserScramCredentialAlteration> changes = new ArrayList<>();
        for (JsonNode entry : r.get("entries")) {
            ScramMechanism mechanism = ScramMechanism.fromMechanismName(entry.get("mechanism").asText());
            String user = entry.get("user").asText();
            changes.add(entry.has("password")
                ? new UserScramCredentialUpsertion(user,
                    new ScramCredentialInfo(mechanism, entry.path("iterations").asInt(4096)),
                    entry.get("password").asText())
                : new UserScramCredentialDeletion(user, mechanism));
        }
        return await(admin().alterUserScramCredentials(changes).all());
    }

    private Object describeScram() throws Exception {
        Map<String, Object> reply = new LinkedHashMap<>();
        for (UserScramCredentialsDescription user : await(admin().describeUserScramCredentials().all()).values()) {
            Map<String, Integer> credentials = new LinkedHashMap<>();
            user.credentialInfos().forEach(info -> credentials.put(info.mechanism().mechanismName(), info.iterations()));
            reply.put(user.name(), credentials);
        }
        return reply;
    }

    /** Each ACL is [resource type, name, pattern type, principal, host, operation, permission]. */
    private static List<AclBinding> acls(JsonNode r) {
        List<AclBinding> result = new ArrayList<>();
        for (JsonNode row : r.get("acls")) {
            result.add(new AclBinding(
                new ResourcePattern(ResourceType.fromString(row.get(0).asText()), row.get(1).asText(),
                    PatternType.fromString(row.get(2).asText())),
                new AccessControlEntry(row.get(3).asText(), row.get(4).asText(),
                    AclOperation.fromString(row.get(5).asText()),
                    AclPermissionType.fromString(row.get(6).asText()))));
        }
        return result;
    }

    private Object deleteAcls(JsonNode r) throws Exception {
        List<AclBindingFilter> filters = new ArrayList<>();
        acls(r).forEach(binding -> filters.add(binding.toFilter()));
        return await(admin().deleteAcls(filters).all()).size();
    }

    private Object describeAcls() throws Exception {
        List<Object> reply = new ArrayList<>();
        for (AclBinding acl : await(admin().describeAcls(AclBindingFilter.ANY).values())) {
            reply.add(List.of(acl.pattern().resourceType().name(), acl.pattern().name(),
                acl.pattern().patternType().name(), acl.entry().principal(), acl.entry().host(),
                acl.entry().operation().name(), acl.entry().permissionType().name()));
        }
        return reply;
    }

    private static byte[] hmac(JsonNode r) {
        return Base64.getDecoder().decode(r.get("hmac").asText());
    }

    private static Map<String, Object> token(DelegationToken token) {
        List<String> renewers = new ArrayList<>();
        token.tokenInfo().renewers().forEach(renewer -> renewers.add(renewer.toString()));
        Map<String, Object> reply = new LinkedHashMap<>();
        reply.put("token_id", token.tokenInfo().tokenId());
        reply.put("hmac", token.hmacAsBase64String());
        reply.put("owner", token.tokenInfo().owner().toString());
        reply.put("requester", token.tokenInfo().tokenRequester().toString());
        reply.put("renewers", renewers);
        reply.put("issue_timestamp", token.tokenInfo().issueTimestamp());
        reply.put("expiry_timestamp", token.tokenInfo().expiryTimestamp());
        reply.put("max_timestamp", token.tokenInfo().maxTimestamp());
        return reply;
    }

    private static KafkaPrincipal principal(String text) {
        String[] parts = text.split(":", 2);
        return new KafkaPrincipal(parts[0], parts[1]);
    }

    private Object createToken(JsonNode r) throws Exception {
        List<KafkaPrincipal> renewers = new ArrayList<>();
        if (r.has("renewers")) {
            strings(r.get("renewers")).forEach(text -> renewers.add(principal(text)));
        }
        CreateDelegationTokenOptions options = new CreateDelegationTokenOptions().renewers(renewers);
        if (r.has("owner")) {
            options.owner(principal(r.get("owner").asText()));
        }
        if (r.has("max_lifetime_ms")) {
            options.maxlifeTimeMs(r.get("max_lifetime_ms").asLong());
        }
        return token(await(admin().createDelegationToken(options).delegationToken()));
    }

    private Object describeTokens() throws Exception {
        List<Object> reply = new ArrayList<>();
        await(admin().describeDelegationToken().delegationTokens()).forEach(found -> reply.add(token(found)));
        return reply;
    }

    private static TopicPartition partition(JsonNode pair) {
        return new TopicPartition(pair.get(0).asText(), pair.get(1).asInt());
    }

    private Object electLeaders(JsonNode r) throws Exception {
        Set<TopicPartition> partitions = null;
        if (r.has("partitions")) {
            partitions = new HashSet<>();
            for (JsonNode pair : r.get("partitions")) {
                partitions.add(partition(pair));
            }
        }
        ElectionType type = ElectionType.valueOf(r.path("type").asText("preferred").toUpperCase());
        Map<String, String> reply = new LinkedHashMap<>();
        await(admin().electLeaders(type, partitions).partitions()).forEach((tp, error) ->
            reply.put(tp.toString(), error.map(e -> Errors.forException(e).name()).orElse("NONE")));
        return reply;
    }

    private Object reassign(JsonNode r) throws Exception {
        Map<TopicPartition, Optional<NewPartitionReassignment>> changes = new LinkedHashMap<>();
        for (JsonNode entry : r.get("partitions")) {
            changes.put(new TopicPartition(entry.get("topic").asText(), entry.get("partition").asInt()),
                entry.get("replicas").isNull() ? Optional.empty()
                    : Optional.of(new NewPartitionReassignment(integers(entry.get("replicas")))));
        }
        return await(admin().alterPartitionReassignments(changes).all());
    }

    private Object listReassignments() throws Exception {
        Map<String, Object> reply = new LinkedHashMap<>();
        await(admin().listPartitionReassignments().reassignments()).forEach((tp, state) ->
            reply.put(tp.toString(), Map.of("replicas", state.replicas(), "adding", state.addingReplicas(),
                "removing", state.removingReplicas())));
        return reply;
    }

    private Object describeFeatures() throws Exception {
        FeatureMetadata features = await(admin().describeFeatures().featureMetadata());
        Map<String, Object> finalized = new LinkedHashMap<>();
        features.finalizedFeatures().forEach((name, range) -> finalized.put(name, range.maxVersionLevel()));
        Map<String, Object> supported = new LinkedHashMap<>();
        features.supportedFeatures().forEach((name, range) ->
            supported.put(name, List.of(range.minVersion(), range.maxVersion())));
        return Map.of("finalized", finalized, "supported", supported);
    }

    private Object updateFeatures(JsonNode r) throws Exception {
        Map<String, FeatureUpdate> updates = new LinkedHashMap<>();
        FeatureUpdate.UpgradeType type =
            FeatureUpdate.UpgradeType.valueOf(r.path("type").asText("upgrade").toUpperCase());
        r.get("features").fields().forEachRemaining(e ->
            updates.put(e.getKey(), new FeatureUpdate((short) e.getValue().asInt(), type)));
        return await(admin().updateFeatures(updates, new UpdateFeaturesOptions()
            .validateOnly(r.path("validate_only").asBoolean(false))).all());
    }

    private Object describeQuorum() throws Exception {
        QuorumInfo quorum = await(admin().describeMetadataQuorum().quorumInfo());
        Map<String, Object> reply = new LinkedHashMap<>();
        reply.put("leader", quorum.leaderId());
        reply.put("leader_epoch", quorum.leaderEpoch());
        reply.put("high_watermark", quorum.highWatermark());
        reply.put("voters", replicas(quorum.voters()));
        reply.put("observers", replicas(quorum.observers()));
        return reply;
    }

    private static Map<String, Long> replicas(List<QuorumInfo.ReplicaState> states) {
        Map<String, Long> reply = new LinkedHashMap<>();
        states.forEach(state -> reply.put(String.valueOf(state.replicaId()), state.logEndOffset()));
        return reply;
    }

    /** Runs the main method of one of Kafka's tools; {"exit": code, "stdout": text, "stderr": text}. */
    private Object tool(JsonNode r) throws Exception {
        String[] args = strings(r.get("args")).toArray(new String[0]);
        ByteArrayOutputStream captured = new ByteArrayOutputStream();
        ByteArrayOutputStream complaints = new ByteArrayOutputStream();
        PrintStream before = System.out;
        PrintStream errorsBefore = System.err;
        // The first exit counts, and what was written until then: a tool may catch our exception, print it and exit
        // once more.
        AtomicReference<ToolExit> first = new AtomicReference<>();
        AtomicReference<Map<String, Object>> ended = new AtomicReference<>();
        Exit.Procedure procedure = (status, message) -> {
            if (first.compareAndSet(null, new ToolExit(status))) {
                ended.set(toolResult(status, captured, complaints));
            }
            throw first.get();
        };
        Exit.setExitProcedure(procedure);
        Exit.setHaltProcedure(procedure);
        try (PrintStream target = new PrintStream(captured, true, "UTF-8");
            PrintStream errors = new PrintStream(complaints, true, "UTF-8")) {
            System.setOut(target);
            System.setErr(errors);
            Runnable main = toolMain(r.get("main").asText(), args);
            // The console of Scala's println is fixed per thread when Scala is loaded, hence withOut and withErr.
            scala.Console$.MODULE$.withOut(target, () -> scala.Console$.MODULE$.withErr(errors, () -> {
                main.run();
                return null;
            }));
        } catch (ToolExit exit) {
            // Its result was taken when it wanted to exit.
        } finally {
            System.setOut(before);
            System.setErr(errorsBefore);
            Exit.resetExitProcedure();
            Exit.resetHaltProcedure();
        }
        return ended.get() == null ? toolResult(0, captured, complaints) : ended.get();
    }

    private static Map<String, Object> toolResult(int code, ByteArrayOutputStream out, ByteArrayOutputStream err) {
        return Map.of(
            "exit", code,
            "stdout", out.toString(StandardCharsets.UTF_8),
            "stderr", err.toString(StandardCharsets.UTF_8));
    }

    private static Runnable toolMain(String name, String[] args) throws ReflectiveOperationException {
        java.lang.reflect.Method main = Class.forName(name).getMethod("main", String[].class);
        return () -> {
            try {
                main.invoke(null, (Object) args);
            } catch (java.lang.reflect.InvocationTargetException wrapped) {
                if (wrapped.getCause() instanceof ToolExit) {
                    throw (ToolExit) wrapped.getCause();
                }
                // As a JVM ends whose main method throws.
                wrapped.getCause().printStackTrace();
                Exit.exit(1);
            } catch (IllegalAccessException denied) {
                throw new IllegalStateException(denied);
            }
        };
    }
}
