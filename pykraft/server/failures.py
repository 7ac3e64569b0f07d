"""What stopped a node, taken out of the groups that nurseries make."""

from __future__ import annotations


def root_causes(error: BaseException) -> list[BaseException]:
    """The errors in a group, in groups of groups, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for each in error.exceptions for cause in root_causes(each)]
    return [error]
