"""Other logging libraries, as docs/client.md shows them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mamimon
import mamimon.client.logs
from tests.client.receiver import Receiver

Client = Callable[..., None]


@pytest.mark.feature("C1")
def test_structlog_records_arrive_with_their_fields(client: Client, receiver: Receiver) -> None:
    """structlog over the standard library ships its event as the message and its keys as fields."""
    import structlog

    client(receiver.url)
    structlog.configure(
        logger_factory=structlog.stdlib.LoggerFactory(),
        processors=[structlog.stdlib.render_to_log_kwargs],
    )
    try:
        structlog.get_logger("shop").warning("cart abandoned", cart=7)
    finally:
        structlog.reset_defaults()
    assert mamimon.flush(5)
    (document,) = receiver.documents
    assert (document["message"], document["cart"], document["level"]) == ("cart abandoned", 7, "WARNING")


@pytest.mark.feature("C1")
def test_loguru_records_arrive_with_level_and_exception(client: Client, receiver: Receiver) -> None:
    """loguru with our handler as a sink ships messages, levels, bound fields and exceptions."""
    from loguru import logger

    client(receiver.url)
    number = logger.add(mamimon.client.logs.ShipHandler(), format="{message}")
    try:
        logger.bind(cart=7).info("stored")
        try:
            1 / 0  # noqa: B018 - raises
        except ZeroDivisionError:
            logger.exception("failed")
    finally:
        logger.remove(number)
    assert mamimon.flush(5)
    found = {document["message"].split("\n")[0]: document for document in receiver.documents}
    assert found["stored"]["level"] == "INFO"
    assert found["stored"]["extra"] == {"cart": 7}
    assert found["failed"]["exception"]["type"] == "ZeroDivisionError"
