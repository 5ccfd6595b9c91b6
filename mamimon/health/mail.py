"""Plain mail to subscribers of the status page, by the SMTP server of the alerts."""

from __future__ import annotations

import re
import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid

from mamimon.config import AlertSettings

_TIMEOUT_S = 20.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# One address, without the comments, quotes and routes that RFC 5322 allows and nobody has.
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])")


def message(
    settings: AlertSettings, to: str, subject: str, body: str, unsubscribe: str, now: float
) -> EmailMessage:
    """A mail that its reader's program can unsubscribe from by one click (RFC 8058)."""
    # Long lines whole: not every program unfolds a link in List-Unsubscribe.
    mail = EmailMessage(policy=SMTP.clone(max_line_length=500))
    sender = settings.smtp_from or settings.smtp_username or "mamimon@localhost"
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = formatdate(now)
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or "localhost")
    mail["Auto-Submitted"] = "auto-generated"
    mail["List-Unsubscribe"] = f"<{unsubscribe}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(body)
    return mail


def send(settings: AlertSettings, mails: list[EmailMessage]) -> list[str]:
    """Send mails by one connection; an empty string or the server's refusal for each. Blocking.

    Raises `OSError` or `smtplib.SMTPException` where the server cannot be talked to at all.
    """
    said: list[str] = []
    with _connect(settings) as session:
        for mail in mails:
            try:
                session.send_message(mail)
                said.append("")
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
                said.append(str(error)[:300])
                session.rset()
    return said


def _connect(settings: AlertSettings) -> smtplib.SMTP:
    server, port, mode = settings.smtp_server, settings.smtp_port, settings.smtp_security
    if mode == "auto":
        mode = "ssl" if port == 465 else "none" if server in _LOOPBACK else "starttls"
    context = ssl.create_default_context()
    if mode == "ssl":
        session: smtplib.SMTP = smtplib.SMTP_SSL(server, port, timeout=_TIMEOUT_S, context=context)
    else:
        session = smtplib.SMTP(server, port, timeout=_TIMEOUT_S)
    try:
        if mode == "starttls":
            session.starttls(context=context)
        if settings.smtp_username:
            session.login(settings.smtp_username, settings.smtp_password)
    except BaseException:
        session.close()
        raise
    return session
