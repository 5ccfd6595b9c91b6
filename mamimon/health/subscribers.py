"""Who wants mail from the status page: asked, confirmed by a link, told, and let go by a link.

What is told is read from the changes that are stored, from a cursor: a kill neither forgets nor
repeats. Changes of a minute are one mail, and there is at most one in ten minutes, so a check that
flaps floods nobody.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import secrets
import smtplib
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from mamimon.health.mail import ADDRESS, message, send
from mamimon.health.subscribers_store import Mail, SubscriberStore, Told
from mamimon.i18n import current_locale, gettext, ngettext
from mamimon.problems import Kind, Problem, bad_input, not_found

if TYPE_CHECKING:
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.health")
_LOOK_S = 15.0
_GATHER_S = 60.0
_BETWEEN_S = 600.0
_AGAIN_S = 600.0
_UNCONFIRMED_S = 2 * 86_400.0
_GIVE_UP_S = 86_400.0
_MOST = 5000
_ASKED_A_CLIENT, _ASKED_BY_ALL, _HOUR_S = 5, 200, 3600.0
_AT_ONCE = 50


class Allowance:
    """At most so many in an hour by one client, and by all; bounded in memory."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, list[float]] = OrderedDict()
        self._all: list[float] = []

    def take(self, client: str, now: float) -> None:
        """Count one; raises `Problem(TOO_MANY)` where there were too many."""
        self._all = [at for at in self._all if at > now - _HOUR_S]
        own = [at for at in self._asked.pop(client, []) if at > now - _HOUR_S]
        self._asked[client] = own
        while len(self._asked) > 10_000:
            self._asked.popitem(last=False)
        if len(own) >= _ASKED_A_CLIENT or len(self._all) >= _ASKED_BY_ALL:
            oldest = own[0] if len(own) >= _ASKED_A_CLIENT else self._all[0]
            raise Problem(
                Kind.TOO_MANY, "too many subscriptions were asked for", retry_after_s=oldest + _HOUR_S - now
            )
        own.append(now)
        self._all.append(now)


class Subscribers:
    """The subscribers of one server's status page."""

    def __init__(self, core: Core, store: SubscriberStore, shown: Callable[[], set[str]]) -> None:
        self._core = core
        self._store = store
        self._shown = shown
        self._allowance = Allowance()
        self._pruned_at = 0.0

    @property
    def possible(self) -> bool:
        """Whether there is a server to send mail by."""
        return bool(self._core.settings.alerts.smtp_server)

    def link(self, what: str, token: str) -> str:
        """The address of a page of one subscriber: confirm or unsubscribe."""
        return f"{self._core.base_url}/status/{what}/{token}"

    async def ask(self, email: str, client: str, locale: str) -> None:
        """Somebody asks for mail: send the link that confirms it. Raises `Problem`.

        What happens is the same for an address that is known, so that nobody learns who subscribes.
        """
        email = email.strip()
        local, _, domain = email.rpartition("@")
        if len(email) > 254 or not ADDRESS.fullmatch(email):
            raise bad_input("this is no e-mail address")
        if not self.possible:
            raise Problem(Kind.UNAVAILABLE, "no mail can be sent here")
        now = self._core.clock.now()
        self._allowance.take(client, now)
        token = secrets.token_urlsafe(24)
        found = await self._store.ask(
            f"{local}@{domain.lower()}", token, locale, now, again_s=_AGAIN_S, most=_MOST
        )
        if found is None:
            return
        link = self.link("confirm", found.token)
        body = gettext(
            "Somebody, hopefully you, asked for mail about outages from %(page)s.\n\n"
            "To confirm, open\n%(link)s\n\nIf it was not you, do nothing: there will be no further mail."
        ) % {"page": f"{self._core.base_url}/status", "link": link}
        await self._store.add_mail(found.id, gettext("Confirm your subscription"), body, now)

    async def confirm(self, token: str) -> None:
        """The link of the first mail was followed; raises `Problem` for an unknown one."""
        await self._known(token)
        await self._store.confirm(token, self._core.clock.now())

    async def leave(self, token: str) -> None:
        """Let somebody go; a link that was used already is no mistake."""
        await self._store.remove(token)

    async def knows(self, token: str) -> bool:
        """Whether a link belongs to somebody."""
        return await self._store.find(token) is not None

    async def _known(self, token: str) -> None:
        if not await self.knows(token):
            raise not_found("this link is no longer valid; please subscribe again")

    async def run(self) -> None:
        """Tell what changed, for ever."""
        while True:
            await self._core.clock.sleep(_LOOK_S)
            if self.possible:
                await self.look()

    async def look(self) -> None:
        """Make the mail that is due and send it."""
        now = self._core.clock.now()
        await self._make(now)
        if now - self._pruned_at > 3600:
            self._pruned_at = now
            await self._store.forget_unconfirmed(now - _UNCONFIRMED_S)
        await self._send(now)

    async def _make(self, now: float) -> None:
        untold, mailed_at = await self._store.untold(now)
        if not untold:
            return
        shown = self._shown()
        news = [one for one in untold if one.name in shown and _is_news(one)]
        if not news:
            await self._store.tell(untold[-1].id, None, now)
        elif now - news[0].at >= _GATHER_S and now - mailed_at >= _BETWEEN_S:
            count = await self._store.tell(untold[-1].id, lambda locale: self._compose(news, locale), now)
            if count:
                _log.info("%d subscribers of the status page are told of %d changes", count, len(news))

    def _compose(self, news: list[Told], locale: str) -> tuple[str, str]:
        token = current_locale.set(locale)
        try:
            newest = {one.name: one for one in news}
            down = [one.name for one in newest.values() if one.state == "down"]
            if len(newest) == 1:
                text = gettext("%(name)s is down") if down else gettext("%(name)s is up again")
                subject = text % {"name": news[0].name}
            elif down:
                subject = ngettext("%(num)d part is down", "%(num)d parts are down", len(down)) % {
                    "num": len(down)
                }
            else:
                subject = gettext("Everything is up")
            lines = []
            for one in news:
                at = dt.datetime.fromtimestamp(one.at, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
                text = gettext("%(name)s is down") if one.state == "down" else gettext("%(name)s is up again")
                lines.append(f"{at}  {text % {'name': one.name}}")
            return subject, "\n".join([*lines, "", f"{self._core.base_url}/status"])
        finally:
            current_locale.reset(token)

    async def _send(self, now: float) -> None:
        mails = await self._store.due(now, _AT_ONCE)
        if not mails:
            return
        settings = self._core.settings.alerts
        ready = []
        for one in mails:
            leave = self.link("unsubscribe", one.token)
            body = f"{one.body}\n\n-- \n{gettext('No more mail')}: {leave}\n"
            ready.append(message(settings, one.email, one.subject, body, leave, now))
        try:
            said = await asyncio.to_thread(send, settings, ready)
        except (OSError, smtplib.SMTPException) as error:
            said = [str(error)[:300]] * len(mails)
        for one, refusal in zip(mails, said, strict=True):
            await self._settle(one, refusal, now)

    async def _settle(self, one: Mail, refusal: str, now: float) -> None:
        if not refusal:
            await self._store.sent(one.id)
        elif now - one.made_at > _GIVE_UP_S:
            _log.error("mail to a subscriber of the status page is given up: %s", refusal)
            await self._store.sent(one.id)
        else:
            _log.warning("mail to a subscriber of the status page was not taken: %s", refusal)
            await self._store.put_off(one.id, now + min(60.0 * 2**one.tries, 3600.0))


def _is_news(one: Told) -> bool:
    """Down, and back from down; degraded, unknown and maintenance are for the page."""
    if one.state == "down":
        return one.was != "down"
    return one.state in {"up", "degraded"} and one.was == "down"
