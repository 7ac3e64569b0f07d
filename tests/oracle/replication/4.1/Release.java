package org.apache.kafka.controller;

import org.apache.kafka.clients.admin.FeatureUpdate.UpgradeType;
import org.apache.kafka.common.message.AssignReplicasToDirsRequestData;
import org.apache.kafka.common.message.BrokerRegistrationRequestData;
import org.apache.kafka.common.metadata.ClearElrRecord;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.requests.ApiError;
import org.apache.kafka.common.utils.LogContext;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.controller.metrics.QuorumControllerMetrics;
import org.apache.kafka.metadata.BrokerRegistrationReply;
import org.apache.kafka.metadata.FinalizedControllerFeatures;
import org.apache.kafka.metadata.placement.StripedReplicaPlacer;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import org.apache.kafka.timeline.SnapshotRegistry;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;

/** The managers of Kafka 4.1. */
final class Release implements ReplicationOracle.Managers {
    private final FeatureControlManager features;
    private final ConfigurationControlManager configs;
    private final ClusterControlManager cluster;
    private final ReplicationControlManager replication;

    Release(Time time) {
        SnapshotRegistry registry = new SnapshotRegistry(new LogContext());
        features = new FeatureControlManager.Builder()
            .setSnapshotRegistry(registry)
            .setQuorumFeatures(new QuorumFeatures(ReplicationOracle.NODE_ID,
                QuorumFeatures.defaultSupportedFeatureMap(false), List.of(ReplicationOracle.NODE_ID)))
            .build();
        configs = new ConfigurationControlManager.Builder()
            .setSnapshotRegistry(registry)
            .setKafkaConfigSchema(kafka.server.KafkaRaftServer.configSchema())
            .setNodeId(ReplicationOracle.NODE_ID)
            .setFeatureControl(features)
            .build();
        cluster = new ClusterControlManager.Builder()
            .setTime(time)
            .setSnapshotRegistry(registry)
            .setClusterId(ReplicationOracle.CLUSTER_ID)
            .setSessionTimeoutNs(ReplicationOracle.SESSION_NS)
            .setReplicaPlacer(new StripedReplicaPlacer(new Random()))
            .setFeatureControlManager(features)
            .setBrokerShutdownHandler(this::shutDown)
            .setMetrics(new QuorumControllerMetrics(Optional.empty(), time, (int) (ReplicationOracle.SESSION_NS / 1_000_000)))
            .build();
        replication = new ReplicationControlManager.Builder()
            .setSnapshotRegistry(registry)
            .setConfigurationControl(configs)
            .setClusterControl(cluster)
            .setFeatureControl(features)
            .build();
    }

    private void shutDown(int brokerId, boolean isClean, List<ApiMessageAndVersion> records) {
        replication.handleBrokerShutdown(brokerId, isClean, records);
    }

    @Override public FeatureControlManager features() {
        return features;
    }
    @Override public ConfigurationControlManager configs() {
        return configs;
    }
    @Override public ClusterControlManager cluster() {
        return cluster;
    }
    @Override public ReplicationControlManager replication() {
        return replication;
    }
    @Override public ControllerResult<BrokerRegistrationReply> register(
        BrokerRegistrationRequestData request, long nextOffset, short version
    ) {
        Map<String, Short> levels = new HashMap<>(features.finalizedFeatures(Long.MAX_VALUE).featureMap());
        levels.put("kraft.version", (short) 0);
        return cluster.registerBroker(
            request, nextOffset, new FinalizedControllerFeatures(levels, Long.MAX_VALUE), version >= 3);
    }
    @Override public void heardOf(int brokerId, long brokerEpoch) {
        cluster.trackBrokerHeartbeat(brokerId, brokerEpoch);
    }
    @Override public ControllerResult<ApiError> update(Map<String, Short> levels, boolean down) {
        String name = levels.keySet().iterator().next();
        UpgradeType type = down ? UpgradeType.SAFE_DOWNGRADE : UpgradeType.UPGRADE;
        return configs.updateFeatures(levels, Map.of(name, type), false, 1);
    }
    @Override public ControllerResult<Boolean> electUnclean() {
        return replication.maybeElectUncleanLeaders();
    }
    @Override public ControllerResult<?> later(ApiMessage request) {
        return replication.handleAssignReplicasToDirs((AssignReplicasToDirsRequestData) request);
    }
    @Override public boolean replay(ApiMessage record) {
        if (record instanceof ClearElrRecord) {
            replication.replay((ClearElrRecord) record);
            return true;
        }
        return false;
    }
}
