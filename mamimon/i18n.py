"""The language of a page: English source strings, Turkish by catalogue.

Templates and Python call `gettext("Logs")`; the server sets `current_locale` a request. Each room
keeps its own catalogue, `web/locales/<locale>/<room>.po`; they are read together on first use.
"""

from __future__ import annotations

import gettext as _gettext
import io
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LOCALES = ("en", "tr")
current_locale: ContextVar[str] = ContextVar("mamimon_locale", default="en")


def web_dir() -> Path:
    """Where templates, static files and catalogues are: beside the package, or in the wheel."""
    package = Path(__file__).resolve().parent
    shipped = package / "_web"
    return shipped if shipped.is_dir() else package.parent / "web"


@cache
def _catalogue(locale: str) -> _gettext.NullTranslations:
    if locale == "en":
        return _gettext.NullTranslations()
    # Babel costs 50 ms to import, so only a server that is asked for another language pays for it.
    from babel.messages import Catalog
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    merged = Catalog(locale=locale)
    for path in sorted((web_dir() / "locales" / locale).glob("*.po")):
        with path.open(encoding="utf-8") as file:
            for message in read_po(file, locale=locale):
                if message.id:
                    merged[message.id] = message
    binary = io.BytesIO()
    write_mo(binary, merged)
    binary.seek(0)
    return _gettext.GNUTranslations(binary)


def gettext(message: str) -> str:
    """`message` in the language of the current request."""
    return _catalogue(current_locale.get()).gettext(message)


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for it
    """`message` itself: marks a text for the catalogues that is translated later."""
    return message


def ngettext(singular: str, plural: str, number: int) -> str:
    """The singular or plural form for `number` in the language of the current request."""
    return _catalogue(current_locale.get()).ngettext(singular, plural, number)


def negotiate(accept_language: str, fallback: str = "en") -> str:
    """The best of our languages for an `Accept-Language` header (RFC 9110 §12.5.4)."""
    best, weight = fallback, 0.0
    for part in accept_language.split(",")[:20]:
        tag, _, rest = part.strip().partition(";")
        try:
            q = float(rest.strip().removeprefix("q=")) if rest.strip().startswith("q=") else 1.0
        except ValueError:
            continue
        primary = tag.strip().lower().split("-")[0]
        if primary in LOCALES and q > weight:
            best, weight = primary, q
    return best
