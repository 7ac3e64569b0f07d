package org.apache.kafka.controller;

import org.apache.kafka.clients.ApiVersions;
import org.apache.kafka.common.message.BrokerRegistrationRequestData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.requests.ApiError;
import org.apache.kafka.common.utils.LogContext;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.BrokerRegistrationReply;
import org.apache.kafka.metadata.placement.StripedReplicaPlacer;
import org.apache.kafka.server.common.MetadataVersion;
import org.apache.kafka.timeline.SnapshotRegistry;

import java.util.List;
import java.util.Map;
import java.util.Random;

/** The managers of Kafka 3.6. */
final class Release implements ReplicationOracle.Managers {
    private final FeatureControlManager features;
    private final ConfigurationControlManager configs;
    private final ClusterControlManager cluster;
    private final ReplicationControlManager replication;

    Release(Time time) {
        SnapshotRegistry registry = new SnapshotRegistry(new LogContext());
        features = new FeatureControlManager.Builder()
            .setSnapshotRegistry(registry)
            .setQuorumFeatures(QuorumFeatures.create(
                ReplicationOracle.NODE_ID, new ApiVersions(), QuorumFeatures.defaultFeatureMap(), List.of()))
            .setMetadataVersion(MetadataVersion.IBP_3_6_IV2)
            .build();
        configs = new ConfigurationControlManager.Builder()
            .setSnapshotRegistry(registry)
            .setKafkaConfigSchema(kafka.server.KafkaRaftServer.configSchema())
            .setNodeId(ReplicationOracle.NODE_ID)
            .build();
        cluster = new ClusterControlManager.Builder()
            .setTime(time)
            .setSnapshotRegistry(registry)
            .setClusterId(ReplicationOracle.CLUSTER_ID)
            .setSessionTimeoutNs(ReplicationOracle.SESSION_NS)
            .setReplicaPlacer(new StripedReplicaPlacer(new Random()))
            .setFeatureControlManager(features)
            .build();
        replication = new ReplicationControlManager.Builder()
            .setSnapshotRegistry(registry)
            .setConfigurationControl(configs)
            .setClusterControl(cluster)
            .setFeatureControl(features)
            .build();
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
        return cluster.registerBroker(request, nextOffset, features.finalizedFeatures(Long.MAX_VALUE));
    }
    @Override public void heardOf(int brokerId, long brokerEpoch) {
    }
    @Override public ControllerResult<ApiError> update(Map<String, Short> levels, boolean down) {
        throw new IllegalArgumentException(levels.toString());
    }
    @Override public ControllerResult<Boolean> electUnclean() {
        // 3.6 elects no unclean leaders at times of its own.
        return ControllerResult.of(List.of(), false);
    }
    @Override public ControllerResult<?> later(ApiMessage request) {
        throw new IllegalArgumentException(request.toString());
    }
    @Override public boolean replay(ApiMessage record) {
        return false;
    }
}
