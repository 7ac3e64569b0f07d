package org.apache.kafka.controller;

import org.apache.kafka.clients.admin.FeatureUpdate.UpgradeType;
import org.apache.kafka.common.message.AssignReplicasToDirsRequestData;
import org.apache.kafka.common.message.BrokerRegistrationRequestData;
import org.apache.kafka.common.metadata.ClearElrRecord;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.requests.ApiError;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.controller.metrics.QuorumControllerMetrics;
import org.apache.kafka.metadata.BrokerRegistrationReply;
import org.apache.kafka.metadata.FinalizedControllerFeatures;
import org.apache.kafka.server.common.ApiMessageAndVersion;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The managers of Kafka 4.1. */
final class Release extends Managers {
    Release(Time time) {
        super(time);
    }

    @Override void configure(FeatureControlManager.Builder builder) {
        builder.setQuorumFeatures(
            new QuorumFeatures(NODE_ID, QuorumFeatures.defaultSupportedFeatureMap(false), List.of(NODE_ID)));
    }
    @Override void configure(ConfigurationControlManager.Builder builder) {
        builder.setFeatureControl(features);
    }
    @Override void configure(ClusterControlManager.Builder builder) {
        builder
            .setBrokerShutdownHandler(this::shutDown)
            .setMetrics(new QuorumControllerMetrics(Optional.empty(), time, (int) (SESSION_NS / 1_000_000)));
    }
    private void shutDown(int brokerId, boolean isClean, List<ApiMessageAndVersion> records) {
        replication.handleBrokerShutdown(brokerId, isClean, records);
    }
    @Override ControllerResult<BrokerRegistrationReply> register(
        BrokerRegistrationRequestData request, long nextOffset, short version
    ) {
        Map<String, Short> levels = new HashMap<>(features.finalizedFeatures(Long.MAX_VALUE).featureMap());
        levels.put("kraft.version", (short) 0);
        return cluster.registerBroker(
            request, nextOffset, new FinalizedControllerFeatures(levels, Long.MAX_VALUE), version >= 3);
    }
    @Override void heardOf(int brokerId, long brokerEpoch) {
        cluster.trackBrokerHeartbeat(brokerId, brokerEpoch);
    }
    @Override ControllerResult<ApiError> update(Map<String, Short> levels, boolean down) {
        String name = levels.keySet().iterator().next();
        UpgradeType type = down ? UpgradeType.SAFE_DOWNGRADE : UpgradeType.UPGRADE;
        return configs.updateFeatures(levels, Map.of(name, type), false, 1);
    }
    @Override ControllerResult<Boolean> electUnclean() {
        return replication.maybeElectUncleanLeaders();
    }
    @Override ControllerResult<?> later(ApiMessage request) {
        return replication.handleAssignReplicasToDirs((AssignReplicasToDirsRequestData) request);
    }
    @Override boolean replay(ApiMessage record) {
        if (record instanceof ClearElrRecord) {
            replication.replay((ClearElrRecord) record);
            return true;
        }
        return false;
    }
}
