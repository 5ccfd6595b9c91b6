"""Paying, with the causes of what goes wrong."""

import json
import socket


class PaymentFailed(Exception):
    """A payment that did not come about."""


class GatewayDown(Exception):
    """The bank does not answer."""


def _dial(port):
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        return "ok"


def charge(order, port):
    """Charge an order at the bank."""
    try:
        _dial(port)
    except OSError as error:
        raise PaymentFailed(f"order {order} could not be charged") from error


def read_answer(order, body):
    """The bank's answer."""
    try:
        return json.loads(body)["status"]
    except KeyError as error:
        raise PaymentFailed(f"order {order}: the bank's answer is not complete") from error


def refund(order, ledger):
    """Give money back."""
    try:
        amount = ledger[order]
    except KeyError:
        raise GatewayDown("no ledger for " + str(order))  # noqa: B904 - an implicit cause
    return amount


def parse_webhook(body):
    """What the bank tells us."""
    return json.loads(body)


def retry(function):
    """Call it twice."""

    def again(*args):
        for attempt in (1, 2):
            try:
                return function(*args)
            except Exception:
                if attempt == 2:
                    raise
        return None

    return again


@retry
def settle(batch):
    """Settle a batch."""
    return batch["amount"] / batch["parts"]


@retry
def reconcile(batch):
    """Compare a batch with the bank's."""
    return batch["ours"]["total"] - batch["theirs"]["total"]
