"""Lives in `osdcodec.batch.ray` now."""

from ..batch.ray import outcomes

__all__ = ["outcomes"]
