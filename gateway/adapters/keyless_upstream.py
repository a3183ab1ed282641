"""An upstream whose key is to be in the database and is not: it refuses its calls, and the others go on."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from gateway.domain.chat import Dialect
from gateway.errors import UpstreamDenied
from gateway.ports import UpstreamCall, UpstreamReply


class KeylessUpstream:
    """Satisfies :class:`gateway.ports.Upstream` until a key comes and the upstream is made anew."""

    def __init__(self, name: str, dialects: tuple[Dialect, ...]) -> None:
        self.name = name
        self.dialects = dialects

    def open(self, call: UpstreamCall) -> AbstractAsyncContextManager[UpstreamReply]:
        """Raises UpstreamDenied: nothing is sent without a key."""
        raise UpstreamDenied(
            f"upstream {self.name} has no key that the gateway can use; "
            f"the operator should set one: ponder provider-keys set {self.name}",
            is_unbilled=True,
        )

    async def close(self) -> None:
        """Nothing to close."""
