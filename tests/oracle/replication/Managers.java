package org.apache.kafka.controller;

import org.apache.kafka.common.message.BrokerRegistrationRequestData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.requests.ApiError;
import org.apache.kafka.common.utils.LogContext;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.BrokerRegistrationReply;
import org.apache.kafka.metadata.placement.StripedReplicaPlacer;
import org.apache.kafka.timeline.SnapshotRegistry;

import java.util.Map;
import java.util.Random;

/** The managers of one release of Kafka; its own class, `Release`, does what differs between the releases. */
abstract class Managers {
    static final long SESSION_NS = 9_000_000_000L;
    static final String CLUSTER_ID = "vPeOCWypqUOSepEvx0cbog";
    static final int NODE_ID = 3000;

    final Time time;
    final FeatureControlManager features;
    final ConfigurationControlManager configs;
    final ClusterControlManager cluster;
    final ReplicationControlManager replication;

    Managers(Time time) {
        this.time = time;
        SnapshotRegistry registry = new SnapshotRegistry(new LogContext());
        FeatureControlManager.Builder forFeatures = new FeatureControlManager.Builder().setSnapshotRegistry(registry);
        configure(forFeatures);
        features = forFeatures.build();
        ConfigurationControlManager.Builder forConfigs = new ConfigurationControlManager.Builder()
            .setSnapshotRegistry(registry)
            .setKafkaConfigSchema(kafka.server.KafkaRaftServer.configSchema())
            .setNodeId(NODE_ID);
        configure(forConfigs);
        configs = forConfigs.build();
        ClusterControlManager.Builder forCluster = new ClusterControlManager.Builder()
            .setTime(time)
            .setSnapshotRegistry(registry)
            .setClusterId(CLUSTER_ID)
            .setSessionTimeoutNs(SESSION_NS)
            .setReplicaPlacer(new StripedReplicaPlacer(new Random()))
            .setFeatureControlManager(features);
        configure(forCluster);
        cluster = forCluster.build();
        replication = new ReplicationControlManager.Builder()
            .setSnapshotRegistry(registry)
            .setConfigurationControl(configs)
            .setClusterControl(cluster)
            .setFeatureControl(features)
            .build();
    }

    abstract void configure(FeatureControlManager.Builder builder);

    void configure(ConfigurationControlManager.Builder builder) {
    }

    void configure(ClusterControlManager.Builder builder) {
    }

    abstract ControllerResult<BrokerRegistrationReply> register(
        BrokerRegistrationRequestData request, long nextOffset, short version);

    void heardOf(int brokerId, long brokerEpoch) {
    }

    abstract ControllerResult<ApiError> update(Map<String, Short> levels, boolean down);

    abstract ControllerResult<Boolean> electUnclean();

    /** A request that not every release has. */
    abstract ControllerResult<?> later(ApiMessage request);

    /** Whether the record, one that not every release has, was replayed. */
    boolean replay(ApiMessage record) {
        return false;
    }
}
