package org.apache.kafka.controller;

import org.apache.kafka.clients.ApiVersions;
import org.apache.kafka.common.message.BrokerRegistrationRequestData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.requests.ApiError;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.BrokerRegistrationReply;
import org.apache.kafka.server.common.MetadataVersion;

import java.util.List;
import java.util.Map;

/** The managers of Kafka 3.6. */
final class Release extends Managers {
    Release(Time time) {
        super(time);
    }

    @Override void configure(FeatureControlManager.Builder builder) {
        builder
            .setQuorumFeatures(
                QuorumFeatures.create(NODE_ID, new ApiVersions(), QuorumFeatures.defaultFeatureMap(), List.of()))
            .setMetadataVersion(MetadataVersion.IBP_3_6_IV2);
    }
    @Override ControllerResult<BrokerRegistrationReply> register(
        BrokerRegistrationRequestData request, long nextOffset, short version
    ) {
        return cluster.registerBroker(request, nextOffset, features.finalizedFeatures(Long.MAX_VALUE));
    }
    @Override ControllerResult<ApiError> update(Map<String, Short> levels, boolean down) {
        throw new IllegalArgumentException(levels.toString());
    }
    @Override ControllerResult<Boolean> electUnclean() {
        // 3.6 elects no unclean leaders at times of its own.
        return ControllerResult.of(List.of(), false);
    }
    @Override ControllerResult<?> later(ApiMessage request) {
        throw new IllegalArgumentException(request.toString());
    }
}
