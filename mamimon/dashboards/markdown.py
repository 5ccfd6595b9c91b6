"""The Markdown that text panels need, as safe HTML: everything is escaped before a mark is read."""

from __future__ import annotations

import re
from html import escape

_BULLET = re.compile(r"\s*[-*+] +(.*)")
_NUMBER = re.compile(r"\s*\d{1,9}[.)] +(.*)")
_HEADING = re.compile(r"(#{1,6}) +(.*?)#*\s*")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[([^\]]{0,500})\]\((https?://[^\s)]{1,2000}|/[^\s)]{0,2000})\)")
_BARE = re.compile(r"(?<![\"'>=(])\bhttps?://[^\s<)]{1,2000}")
_BOLD = re.compile(r"(\*\*|__)(?=\S)(.{1,2000}?)(?<=\S)\1")
_SLANTED = re.compile(r"(?<![\w*])([*_])(?=\S)([^*_]{1,1000}?)(?<=\S)\1(?![\w*])")


def to_html(text: str) -> str:
    """Headings, lists, code, links, bold and italics; anything else is text."""
    out: list[str] = []
    paragraph: list[str] = []
    open_list = ""
    fenced: list[str] | None = None

    def close(tag: str = "") -> None:
        nonlocal open_list
        if paragraph:
            out.append("<p>" + "<br>".join(paragraph) + "</p>")
            paragraph.clear()
        if open_list != tag:
            out.append((f"</{open_list}>" if open_list else "") + (f"<{tag}>" if tag else ""))
            open_list = tag

    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            if fenced is None:
                close()
                fenced = []
            else:
                out.append("<pre>" + escape("\n".join(fenced)) + "</pre>")
                fenced = None
        elif fenced is not None:
            fenced.append(line)
        elif found := _HEADING.fullmatch(line):
            close()
            level = min(6, len(found[1]) + 2)
            out.append(f"<h{level}>{_inline(found[2])}</h{level}>")
        elif found := _BULLET.fullmatch(line) or _NUMBER.fullmatch(line):
            close("ul" if _BULLET.fullmatch(line) else "ol")
            out.append(f"<li>{_inline(found[1])}</li>")
        elif line.strip():
            if open_list:
                close()
            paragraph.append(_inline(line.strip()))
        else:
            close()
    close()
    if fenced:
        out.append("<pre>" + escape("\n".join(fenced)) + "</pre>")
    return "".join(out)


def _inline(text: str) -> str:
    kept: list[str] = []

    def keep(html: str) -> str:
        kept.append(html)
        return f"\x00{len(kept) - 1}\x00"

    # Code and links are set aside first, so that marks inside of them stay as they are.
    text = escape(text.replace("\x00", ""), quote=True)
    text = _CODE.sub(lambda found: keep(f"<code>{found[1]}</code>"), text)
    text = _LINK.sub(
        lambda found: keep(f'<a href="{found[2]}" rel="noreferrer">{found[1] or found[2]}</a>'), text
    )
    text = _BARE.sub(lambda found: keep(f'<a href="{found[0]}" rel="noreferrer">{found[0]}</a>'), text)
    text = _BOLD.sub(r"<b>\2</b>", text)
    text = _SLANTED.sub(r"<i>\2</i>", text)
    return re.sub("\x00(\\d+)\x00", lambda found: kept[int(found[1])], text)
