package org.apache.kafka.controller;

import org.apache.kafka.clients.admin.FeatureUpdate.UpgradeType;
import org.apache.kafka.common.message.AssignReplicasToDirsRequestData;
import org.apache.kafka.common.message.BrokerRegistrationRequestData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.requests.ApiError;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.BrokerRegistrationReply;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import org.apache.kafka.server.common.MetadataVersion;

import java.util.List;
import java.util.Map;

/** The managers of Kafka 3.9. */
final class Release extends Managers {
    Release(Time time) {
        super(time);
    }

    @Override void configure(FeatureControlManager.Builder builder) {
        builder
            .setQuorumFeatures(
                new QuorumFeatures(NODE_ID, QuorumFeatures.defaultFeatureMap(false), List.of(NODE_ID)))
            .setMetadataVersion(MetadataVersion.IBP_3_9_IV0);
    }
    @Override void configure(ClusterControlManager.Builder builder) {
        builder.setBrokerUncleanShutdownHandler(this::shutDown).setInterBrokerListenerName("PLAINTEXT");
    }
    private void shutDown(int brokerId, List<ApiMessageAndVersion> records) {
        replication.handleBrokerUncleanShutdown(brokerId, records);
    }
    @Override ControllerResult<BrokerRegistrationReply> register(
        BrokerRegistrationRequestData request, long nextOffset, short version
    ) {
        return cluster.registerBroker(request, nextOffset, features.finalizedFeatures(Long.MAX_VALUE));
    }
    @Override ControllerResult<ApiError> update(Map<String, Short> levels, boolean down) {
        String name = levels.keySet().iterator().next();
        UpgradeType type = down ? UpgradeType.SAFE_DOWNGRADE : UpgradeType.UPGRADE;
        ControllerResult<Map<String, ApiError>> result = features.updateFeatures(levels, Map.of(name, type), false);
        return ControllerResult.atomicOf(result.records(), result.response().get(name));
    }
    @Override ControllerResult<Boolean> electUnclean() {
        return replication.maybeElectUncleanLeaders();
    }
    @Override ControllerResult<?> later(ApiMessage request) {
        return replication.handleAssignReplicasToDirs((AssignReplicasToDirsRequestData) request);
    }
}
