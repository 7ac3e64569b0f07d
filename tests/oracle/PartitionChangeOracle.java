import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.metadata.PartitionChangeRecord;
import org.apache.kafka.common.metadata.PartitionChangeRecordJsonConverter;
import org.apache.kafka.controller.PartitionChangeBuilder;
import org.apache.kafka.metadata.LeaderRecoveryState;
import org.apache.kafka.metadata.PartitionRegistration;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import org.apache.kafka.server.common.MetadataVersion;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * For each line, a JSON object with a partition and what is to become of it, prints the version and JSON of the
 * record that Kafka's builder makes, or "none".
 */
public class PartitionChangeOracle {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        StringBuilder out = new StringBuilder();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.append(answer(MAPPER.readTree(line))).append('\n');
        }
        System.out.print(out);
    }

    private static String answer(JsonNode question) throws ReflectiveOperationException {
        MetadataVersion version = MetadataVersion.fromFeatureLevel((short) question.get("level").asInt());
        Set<Integer> acceptable = new HashSet<>(ints(question.get("acceptable")));
        PartitionChangeBuilder builder = new PartitionChangeBuilder(
            partition(question.get("partition")), Uuid.fromString(question.get("topicId").asText()), 0,
            acceptable::contains, version, question.get("minIsr").asInt());
        builder.setElection(PartitionChangeBuilder.Election.valueOf(question.get("election").asText()));
        if (question.get("migration").asBoolean()) {
            // Not a method of 4.0 and later.
            PartitionChangeBuilder.class.getMethod("setZkMigrationEnabled", boolean.class).invoke(builder, true);
        }
        builder.setEligibleLeaderReplicasEnabled(question.get("elr").asBoolean());
        if (question.has("uncleanShutdown")) {
            builder.setUncleanShutdownReplicas(List.of(question.get("uncleanShutdown").asInt()));
        }
        JsonNode defaults = question.get("defaultDirectories");
        builder.setDefaultDirProvider(broker -> Uuid.fromString(defaults.get(String.valueOf(broker)).asText()));
        if (question.has("isr")) builder.setTargetIsr(ints(question.get("isr")));
        if (question.has("replicas")) builder.setTargetReplicas(ints(question.get("replicas")));
        if (question.has("removing")) builder.setTargetRemoving(ints(question.get("removing")));
        if (question.has("adding")) builder.setTargetAdding(ints(question.get("adding")));
        if (question.has("recovery")) {
            builder.setTargetLeaderRecoveryState(LeaderRecoveryState.of((byte) question.get("recovery").asInt()));
        }
        if (question.has("directory")) {
            builder.setDirectory(question.get("directoryOf").asInt(), Uuid.fromString(question.get("directory").asText()));
        }
        Optional<ApiMessageAndVersion> record = builder.build();
        if (!record.isPresent()) return "none";
        short recordVersion = record.get().version();
        PartitionChangeRecord change = (PartitionChangeRecord) record.get().message();
        return recordVersion + "\t" + PartitionChangeRecordJsonConverter.write(change, recordVersion);
    }

    private static PartitionRegistration partition(JsonNode node) {
        List<Uuid> directories = new ArrayList<>();
        node.get("directories").forEach(text -> directories.add(Uuid.fromString(text.asText())));
        return new PartitionRegistration.Builder()
            .setReplicas(array(node.get("replicas")))
            .setDirectories(directories.toArray(new Uuid[0]))
            .setIsr(array(node.get("isr")))
            .setRemovingReplicas(array(node.get("removing")))
            .setAddingReplicas(array(node.get("adding")))
            .setLeader(node.get("leader").asInt())
            .setLeaderRecoveryState(LeaderRecoveryState.of((byte) node.get("recovery").asInt()))
            .setElr(array(node.get("elr")))
            .setLastKnownElr(array(node.get("lastKnownElr")))
            .setLeaderEpoch(10)
            .setPartitionEpoch(20)
            .build();
    }

    private static List<Integer> ints(JsonNode node) {
        List<Integer> result = new ArrayList<>();
        node.forEach(item -> result.add(item.asInt()));
        return result;
    }

    private static int[] array(JsonNode node) {
        return ints(node).stream().mapToInt(Integer::intValue).toArray();
    }
}
