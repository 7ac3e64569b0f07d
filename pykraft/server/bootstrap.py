"""What formatting a directory left for the first leader to write: Kafka's bootstrap.checkpoint.

Source: metadata/src/main/java/org/apache/kafka/metadata/bootstrap/BootstrapDirectory.java and
.../controller/ActivationRecordsGenerator.java.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pykraft.controller.activation import activation_records
from pykraft.controller.releases import SUPPORTED_FEATURES
from pykraft.controller.result import ControllerResult, OperationContext
from pykraft.image.metadata_version import FEATURE_NAME, MetadataVersion
from pykraft.log.checkpoint import BOOTSTRAP_NAME, read_checkpoint
from pykraft.protocol.record_frame import ApiMessageAndVersion, decode_record
from pykraft.protocol.records.feature_level_record import FeatureLevelRecord
from pykraft.server.storage import StorageError

log = logging.getLogger(__name__)


def activate(context: OperationContext, directory: Path) -> ControllerResult[None]:
    """The activation records; a log that begins in a directory with a bootstrap checkpoint begins as that says.

    Raises ActivationError, StorageError for a metadata.version unknown here, CorruptLogError, OSError.
    """
    path = directory / BOOTSTRAP_NAME
    if context.image.features or not path.exists():
        return activation_records(context)
    bootstrap = [decode_record(value) for value in read_checkpoint(path)]
    version = _metadata_version(path, bootstrap)
    if version is not None:
        log.info("Beginning the log as %s says, at metadata.version %s.", path, version.text)
        context = replace(context, config=replace(context.config, metadata_version=version))
    return activation_records(context, _others(path, bootstrap, context.config.release))


def _others(path: Path, records: Sequence[ApiMessageAndVersion], release: str) -> list[ApiMessageAndVersion]:
    """What goes behind metadata.version: features that are not supported here stay off, as if formatted so."""
    supported = {feature.name: feature for feature in SUPPORTED_FEATURES[release]}
    kept = []
    for record in records:
        message = record.message
        if isinstance(message, FeatureLevelRecord):
            known = supported.get(message.name)
            if known is None or not known.min_version <= message.feature_level <= known.max_version:
                log.warning(
                    "%s asks for %s %d, which this controller has not: it stays off.",
                    path,
                    message.name,
                    message.feature_level,
                )
                continue
        if not _is_metadata_version(record):
            kept.append(record)
    return kept


def _metadata_version(path: Path, records: Sequence[ApiMessageAndVersion]) -> MetadataVersion | None:
    for message, _ in records:
        if isinstance(message, FeatureLevelRecord) and message.name == FEATURE_NAME:
            if message.feature_level not in MetadataVersion.__members__.values():
                raise StorageError(
                    f"{path} asks for metadata.version {message.feature_level}; this controller knows up to"
                    f" {max(MetadataVersion).value}: format the directory for an earlier release"
                )
            return MetadataVersion(message.feature_level)
    return None


def _is_metadata_version(record: ApiMessageAndVersion) -> bool:
    return isinstance(record.message, FeatureLevelRecord) and record.message.name == FEATURE_NAME
