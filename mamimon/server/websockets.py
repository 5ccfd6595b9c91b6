"""uvicorn's WebSocket protocol, imported for the first WebSocket: most servers never see one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A refusal by an HTTP answer ends the handshake too; uvicorn would log an error for each."""

    async def send(self, message: ASGISendEvent) -> None:
        """See uvicorn."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
