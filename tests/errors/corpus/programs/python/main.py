"""Runs each mistake in several ways and sends it with sentry-sdk; the tag `corpus` is its label."""

import asyncio
import logging
import os
import sys
import threading
import uuid

import sentry_sdk
from shop import background, db, entries, payments, pricing, tree, users, views

N = int(os.environ["ROUND"])
log = logging.getLogger("shop.orders")


def caught(label, function, *args, **kwargs):
    """Run, and send what it raises."""
    with sentry_sdk.new_scope() as scope:
        scope.set_tag("corpus", label)
        scope.set_user({"id": str(N)})
        try:
            function(*args, **kwargs)
        except Exception as error:
            sentry_sdk.capture_exception(error)
        else:
            raise SystemExit(f"{label} did not fail")


def tagged(label, function):
    """Run something that sends by itself."""
    with sentry_sdk.isolation_scope() as scope:
        scope.set_tag("corpus", label)
        function()


def nested(levels, leaf):
    """A tree of so many levels."""
    node = dict(leaf)
    for level in range(levels):
        node = {"id": level, "name": f"n{level}", "children": [{"name": "ok"}, node]}
    return node


def paths():
    """One mistake, several ways to it."""
    sku = f"gadget-{N}-{uuid.uuid4().hex[:6]}"
    caught("py-price-missing", entries.checkout, [(sku, N + 1)])
    caught("py-price-missing", entries.AdminPage().preview, sku)
    caught("py-price-missing", entries.nightly, ["mug", sku])
    tagged("py-price-missing", lambda: views.app.test_client().get(f"/price/{sku}"))
    caught("py-price-none", entries.checkout, [("lamp", N + 1)])
    caught("py-price-none", entries.nightly, ["lamp"])
    caught("py-no-address", entries.label_of_order, 1)
    caught("py-no-address", entries.labels_of_day, [2, 1])
    caught("py-no-address", entries.reprint, users.KNOWN[2])
    caught("py-user-not-found", entries.label_of_order, 1000 + N)
    caught("py-user-not-found", users.load_user, 7 * N + 50)
    caught("py-rating-empty", entries.rating_of_product, [])
    caught("py-rating-empty", entries.ratings_report, {"mug": [5, 4], "lamp": []})
    caught("py-greeting", users.greeting, users.KNOWN[1 + N % 2])
    caught("py-form-field", users.from_form, {"name": "x", "email": "y", "phone": str(N)})
    caught("py-birthday", users.parse_birthday, f"{N + 1}.12.19{60 + N}")
    with views.app.test_client() as client:
        tagged("py-birthday", lambda: client.post("/profile", data={"birthday": f"19{70 + N}/01/02"}))
    caught("py-decode", users.decode_name, b"J" * (N + 1) + b"\xf6rg")
    caught("py-voucher", pricing.discount, "voucher", "5EUR" + str(N))
    caught("py-percent", pricing.discount, "percent", f"{N}%")
    caught("py-sort-none", pricing.cheapest_first, [{"price": 3}, {"price": None}] * (N + 1))
    caught("py-tax-missing", pricing.totals, [{"net": 1, "tax": 2}] * N + [{"net": 3}])


def guards():
    """One function that raises for many: the mistake is the caller's."""
    caught("py-guard-quantity", entries.set_quantity, 100 + N)
    caught("py-guard-coupon", entries.set_coupon, f"spring{N}")
    caught("py-guard-country", entries.set_country, "GER"[: 3 - 2 * (N % 2)])
    caught("py-guard-weight", entries.set_weight, -N)
    caught("py-guard-height", entries.set_height, -2 * N)


def storage():
    """A thin layer of the shop's own over a library."""
    one = db.Db()
    one.add_user("ada@example.com")
    caught("py-db-unique", one.add_user, "ada@example.com")
    caught("py-db-unique", lambda: [one.add_user(f"u{N}@example.com") for _ in range(2)])
    caught("py-db-not-null", one.add_order, None, N)
    caught("py-db-no-table", one.coupon, f"SPRING{N}")


def recursion():
    """Depths that differ."""
    loop = {}
    loop["child"] = loop
    sys.setrecursionlimit(300 + 40 * N)
    caught("py-recursion", tree.depth, loop)
    sys.setrecursionlimit(1000)
    caught("py-nameless", tree.check, nested(2 + 3 * N, {"id": 900 + N}))
    caught("py-render", tree.render, nested(1 + 4 * N, {"id": N}))
    value = [1, f"x{N}"]
    for _ in range(3 + 2 * N):
        value = [value]
    caught("py-flatten", tree.flatten, value)


def chains():
    """Causes, implicit ones and groups."""
    caught("py-charge", payments.charge, 4000 + N, 9)
    caught("py-charge", lambda: [payments.charge(number, 9) for number in (N, 2)])
    caught("py-answer", payments.read_answer, 5000 + N, '{"id": 1}')
    caught("py-refund", payments.refund, 6000 + N, {})
    caught("py-webhook", payments.parse_webhook, "<html>" + "x" * N)
    caught("py-webhook", payments.parse_webhook, '{"id": 1}' + "\n" * N + "}")
    caught("py-settle", payments.settle, {"amount": N, "parts": 0})
    caught("py-reconcile", payments.reconcile, {"ours": {"total": N}, "theirs": {}})
    group = ["lamp"] * (1 + N % 3) + ["mug"]
    caught("py-reserve", lambda: asyncio.run(background.pack_group(group, {"mug": 9})))
    full = [1, 2, 3, 4]
    caught("py-group-mail", lambda: asyncio.run(background.mail_group(["a", f"b{N}"], full)))


def asynchronous():
    """Awaited, gathered, in a task, in a thread."""
    for way in (
        lambda: background.reserve_directly("lamp", {}),
        lambda: background.reserve_all(["mug", f"lamp{N}"], {"mug": 1}),
        lambda: background.reserve_in_task("lamp", {}),
    ):
        caught("py-reserve", lambda way=way: asyncio.run(way()))
    caught("py-thumbnail", background.thumbnails, [{"size": (N, 2), "scale": 0}])
    caught("py-thumbnail", background.thumbnail, {"size": (N, 2), "scale": 0})

    def thread():
        def run():
            sentry_sdk.set_tag("corpus", "py-thumbnail")
            background.thumbnail({"size": (3, N), "scale": 0})

        one = threading.Thread(target=run)
        one.start()
        one.join()

    thread()


def third_party():
    """Mistakes that show in somebody else's frames."""
    client = views.app.test_client()
    tagged("py-template-order", lambda: client.get(f"/orders/{N + 10}"))
    caught("py-template-order", views.show, "order.html", order={"number": N})
    tagged("py-template-invoice", lambda: client.get(f"/invoices/{N + 10}"))
    caught("py-yaml", views.settings, "a: 1\n" * N + "b: [1, 2")
    caught("py-yaml-tab", views.settings, "a:\n" * 1 + "\tb: 1\n" + "c: 2\n" * N)


def messages():
    """No exception at all."""

    def said(label, *args):
        tagged(label, lambda: log.error(*args))

    said("py-log-slow", "payment %s took %d ms", uuid.uuid4(), 900 + 13 * N)
    said("py-log-refund", "order %d was refunded twice", 70000 + N)
    said("py-log-ship", "order %d was shipped twice", 70000 + N)
    said("py-log-mail", f"mail to user{N}@example.com bounced with code 55{N}")
    said("py-log-disk", f"cannot write /srv/files/{N}/{uuid.uuid4().hex}.pdf: disk full")
    tagged(
        "py-msg-job", lambda: sentry_sdk.capture_message(f"job {uuid.uuid4()} gave up after {N + 2} tries")
    )
    tagged("py-msg-peer", lambda: sentry_sdk.capture_message(f"peer 10.0.{N}.7:443 closed the connection"))
    tagged("py-msg-cache", lambda: sentry_sdk.capture_message("cache 0x%x is cold" % (16**9 + N * 4096)))

    def logged(name):
        try:
            pricing.average_rating(())
        except ZeroDivisionError:
            logging.getLogger(name).exception("no rating for product %s", N)

    tagged("py-rating-empty", lambda: logged("shop.reports"))
    tagged("py-rating-empty", lambda: logged("shop.pages"))


def fingerprints():
    """What the client says itself."""
    for number, function in ((1, lambda: {}["a"]), (2, lambda: [][N])):
        with sentry_sdk.new_scope() as scope:
            scope.fingerprint = ["rpc-timeout"]
            caught("py-fingerprint", function)
        with sentry_sdk.new_scope() as scope:
            scope.fingerprint = ["{{ default }}", f"tenant-{number}"]
            caught(f"py-tenant-{number}", users.greeting, users.KNOWN[1])


sentry_sdk.init(
    os.environ["DSN"],
    release=os.environ["RELEASE"],
    auto_session_tracking=False,
    shutdown_timeout=10,
    _experiments={"transport_compression_algo": "gzip"},
)
for part in (
    paths,
    guards,
    storage,
    recursion,
    chains,
    asynchronous,
    third_party,
    messages,
    fingerprints,
):
    part()
sentry_sdk.flush(10)
