"""Rules about grouping and owners, in Sentry's syntax."""

from __future__ import annotations

from typing import Any

import pytest

from mamimon.errors.grouping import group
from mamimon.errors.matchers import RuleError
from mamimon.errors.model import Grouping
from mamimon.errors.normalise import normalise
from mamimon.errors.rule_store import RuleTexts
from tests.errors.test_doors import envelope, event, issues, item, post
from tests.errors.test_issues import stack

pytestmark = pytest.mark.feature("E2")


def grouped(rules_text: str = "", stacks: str = "", **fields: Any) -> Grouping:
    """What rules make of an event."""
    rules = RuleTexts(fingerprint=rules_text, stack=stacks).read()
    return group(normalise(event(**fields), 1, 1e9), rules)


ONE = stack(
    ("shop.web", "page", "pay()"),
    ("shop.pay", "pay", "charge(1)"),
    kind="ConnectionError",
    value="no line to db-7",
)


@pytest.mark.parametrize(
    ("matchers", "holds"),
    [
        ("error.type:ConnectionError", True),
        ("type:connection*", True),
        ("!error.type:ConnectionError", False),
        ("error.type:ValueError", False),
        ('error.value:"no line to *"', True),
        ("stack.module:shop.*", True),
        ("stack.module:shop.pay stack.function:pay", True),
        ("stack.module:shop.web stack.function:pay", False),
        ("module:shop.pay app:yes", True),
        ("family:python", True),
        ("family:javascript,native", False),
        ("tags.plan:pro", True),
        ("tags.plan:p?o level:error", True),
        ("tags.none:*", False),
        ("release:shop@1.*", True),
        ("transaction:/pay", True),
        ("message:*", True),
    ],
)
def test_matchers(matchers: str, holds: bool) -> None:
    """Each matcher of Sentry's looks at the event, one exception or one frame."""
    made = grouped(
        f"{matchers} -> mine", exception=ONE, tags={"plan": "pro"}, release="shop@1.2", transaction="/pay"
    )

    assert (made.reason, made.rule) == (
        ("fingerprint", f"{matchers} -> mine") if holds else ("stack trace", "")
    )


def test_a_fingerprint_rule_wins_over_the_client_and_may_name_the_issue() -> None:
    """The first rule that matches decides; variables are filled in, `title=` names the issue."""
    text = (
        "# what we know\n\n"
        'error.type:ConnectionError -> {{ error.type }}, {{ tags.plan }} title="No line ({{ tags.plan }})"\n'
        "error.type:* -> everything"
    )
    rules = RuleTexts(fingerprint=text).read()
    one = normalise(event(exception=ONE, tags={"plan": "pro"}, fingerprint=["client"]), 1, 1e9)
    made = group(one, rules)

    assert made.parts == ["ConnectionError", "pro"]
    assert one.title == "No line (pro)"
    assert grouped("error.type:X* -> a", exception=ONE, fingerprint=["client"]).parts == ["client"]
    with_default = grouped("error.type:Conn* -> {{ default }} tenant-{{ tags.plan }}", exception=ONE)
    assert with_default.parts == [*grouped(exception=ONE).parts, "tenant-<no-value>"]


@pytest.mark.parametrize(
    ("rules", "deciding"),
    [
        ("", ["pay in shop.pay: charge(1)"]),
        ("stack.module:shop.pay -app", ["page in shop.web: pay()"]),
        ("stack.function:pay -group", ["page in shop.web: pay()"]),
        ("family:python max-frames=2", ["page in shop.web: pay()", "pay in shop.pay: charge(1)"]),
        ("stack.function:page v-group", ["page in shop.web: pay()"]),
        ("stack.function:pay ^-app", ["pay in shop.pay: charge(1)"]),
        ("[ stack.function:page ] | stack.function:pay -app", ["page in shop.web: pay()"]),
        ("[ stack.function:other ] | stack.function:pay -app", ["pay in shop.pay: charge(1)"]),
        (
            "stack.function:page | [ stack.function:pay ] category=web\ncategory:web -app",
            ["pay in shop.pay: charge(1)"],
        ),
        ("error.type:Other -app", ["pay in shop.pay: charge(1)"]),
    ],
)
def test_stack_rules(rules: str, deciding: list[str]) -> None:
    """Actions change which frames decide: of the frame itself, of all further out or further in."""
    parts = grouped(stacks=rules, exception=ONE).parts

    assert [part.strip() for part in parts if " in " in part] == deciding


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("fingerprint", "error.type:X", "line 1"),
        ("fingerprint", "\n# x\nerror.type:X ->", "line 3: there is no fingerprint"),
        ("fingerprint", "colour:red -> x", "colour is no matcher"),
        ("fingerprint", "just words -> x", "'just' is no matcher"),
        ("stack", "stack.module:x", "no action"),
        ("stack", "+app", "no matcher"),
        ("stack", "stack.module:x max-frames=many", "wants a number"),
        ("owners", "ada", "an owner's rule"),
        ("owners", "path:src/x", "an owner's rule"),
        ("stack", "error.type:X -app\n" * 201, "more than 200 rules"),
    ],
)
def test_a_rule_that_cannot_be_read_is_named(kind: str, text: str, words: str) -> None:
    """The line and what is wrong with it."""
    with pytest.raises(RuleError, match=words):
        RuleTexts(**{kind: text}).read()


def test_rules_by_the_api_and_the_page(server: Any) -> None:
    """Rules hold for events from now on, a bad one is refused, and they can be tried before."""
    assert post(server, envelope(item(event(exception=ONE)))).status_code == 200
    rules = {"fingerprint": "error.type:ConnectionError -> line", "stack": "", "owners": "path:shop/** ada"}
    url = "/api/mamimon/errors/projects/1/rules"

    (tried,) = server.client.post(f"{url}/try", json=rules).json()
    assert tried["changed"]
    assert tried["parts"] == ["line"]
    page = server.client.post("/errors/rules", data={**rules, "project": "1", "do": "try"})
    assert "would be a new issue" in page.text
    assert server.client.get(url).json()["fingerprint"] == ""

    assert server.client.put(url, json=rules).json() == rules
    assert post(server, envelope(item(event(exception=ONE)))).status_code == 200
    assert len(issues(server)) == 2
    assert "By the rule" in server.client.get("/errors/2").text
    bad = server.client.put(url, json={**rules, "stack": "nothing"})
    assert (bad.status_code, "line 1" in bad.text) == (400, True)
    assert server.client.put("/api/mamimon/errors/projects/9/rules", json=rules).status_code == 404
    shown = server.client.post("/errors/rules", data={**rules, "project": "1", "owners": "x"}).text
    assert "an owner&#39;s rule" in shown
    assert "error.type:ConnectionError -&gt; line" in server.client.get("/errors/rules").text


def test_rules_survive_a_restart(start: Any) -> None:
    """They are read again when the server opens."""
    first = start()
    rules = {"fingerprint": "error.type:* -> all"}
    first.client.put("/api/mamimon/errors/projects/1/rules", json=rules).raise_for_status()
    first.stop()
    again = start()
    for kind in ("One", "Two"):
        assert (
            post(again, envelope(item(event(exception=stack(("a", "f", "1"), kind=kind))))).status_code == 200
        )

    assert [one["count"] for one in issues(again)] == [2]


def test_owners_get_new_issues(server: Any) -> None:
    """The last rule that matches names who a new issue is given to; paths are from the repository's root."""
    text = "module:shop.* everybody\npath:src/pay/ ada\nurl:*/checkout* the checkout team\ntags.plan:pro #vip"
    server.client.put("/api/mamimon/errors/projects/1/rules", json={"owners": text}).raise_for_status()

    def send(kind: str, path: str, **fields: Any) -> None:
        found = stack(("shop.x", "f", kind), kind=kind)
        found["values"][0]["stacktrace"]["frames"][0]["abs_path"] = path
        assert post(server, envelope(item(event(exception=found, **fields)))).status_code == 200

    send("OneError", "/srv/app/src/pay/card.py")
    send("TwoError", "/srv/app/src/other.py")
    send("ThreeError", "/srv/app/src/pay/card.py", request={"url": "http://shop.example/checkout?x=1"})
    send("FourError", "/srv/app/src/pay/card.py", tags={"plan": "pro"})
    found = {one["title"].split("E")[0]: one["assignee"] for one in issues(server)}

    assert found == {"One": "ada", "Two": "everybody", "Three": "the checkout team", "Four": "#vip"}
    assert [one["culprit"] for one in issues(server, "assigned:ada")] == ["f in shop.x"]
