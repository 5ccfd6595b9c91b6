"""A labelled set for masking: lines with a secret in them, and lines that only look as if they had one.

Made from a seed, so that no real-looking key lies in the repository; each positive says its secret.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid

_WORDS = [
    "order",
    "chat",
    "image",
    "user",
    "billing",
    "queue",
    "worker",
    "payment",
    "search",
    "invoice",
    "session",
    "cache",
    "upload",
    "mail",
]
_HEX = "0123456789abcdef"
_ALNUM = string.ascii_letters + string.digits


# How secrets stand in other people's logs; {} is the secret.
WILD = [
    "aws_secret_access_key = {}",
    "AWS_SECRET_ACCESS_KEY={}",
    "AccountName=x;AccountKey={}==;EndpointSuffix=core.windows.net",
    "X-Api-Key: {}",
    "x-api-key={} from 10.0.0.1",
    "Authorization: Basic {}",
    "Set-Cookie: sessionid={}; HttpOnly; Path=/",
    "postgresql://app:{}@db:5432/app",
    "mongodb+srv://user:{}@cluster0.mongodb.net",
    "amqp://guest:{}@rabbit:5672//",
    "connecting with passwd='{}'",
    "PGPASSWORD={} psql",
    "ran deploy --password {} --force",
    "--token={} given",
    "{{'password': '{}'}}",
    "password => {}",
    'DB_PASSWORD="{}"',
    "POST /hook?token={}&x=1 200",
    "redirect to /cb?access_token={}",
    '{{"apiKey":"{}"}}',
    "refresh_token: {}",
    "https://hooks.slack.com/services/T000/B000/{}",
    "https://discord.com/api/webhooks/123456789012345678/{}",
    "PUT /c/blob?sv=2024&sig={}abcdefgh%3D 201",
]
REAL = [
    ("one-time OTP: 483921 sent", "483921"),
    ("pin=4832 wrong", "4832"),
    ("card 3530 1113 3330 0000 refused", "3530 1113 3330 0000"),
    ("card 378282246310005", "378282246310005"),
    ("card 3782 822463 10005", "3782 822463 10005"),
    ("card 4111-1111-1111-1111", "4111-1111-1111-1111"),
    ("IBAN GB29 NWBK 6016 1331 9268 19", "GB29 NWBK 6016 1331 9268 19"),
    ("to FR1420041010050500013M02606", "FR1420041010050500013M02606"),
    ("to CH93 0076 2011 6238 5295 7 now", "CH93 0076 2011 6238 5295 7"),
    ("call +1 415 555 2671", "415 555 2671"),
    ("call (415) 555-2671", "555-2671"),
    ("call +44 20 7946 0958", "7946 0958"),
    ("ara: 0532 123 45 67", "123 45 67"),
    ("ara: 0(532) 123 45 67", "123 45 67"),
    ("tel: 0212 555 44 33", "555 44 33"),
    ("+33 6 12 34 56 78", "12 34 56 78"),
    ("mail ayşe@örnek.com.tr", "ayşe@örnek.com.tr"),
    ("GET /find?user=ada%40example.com", "ada%40example.com"),
]


def _luhn(prefix: str, length: int, pick: random.Random) -> str:
    body = prefix + "".join(pick.choice(string.digits) for _ in range(length - len(prefix) - 1))
    total = sum(int(c) for c in body[-2::-2]) + sum(sum(divmod(2 * int(c), 10)) for c in body[-1::-2])
    return body + str(-total % 10)


def _iban(country: str, length: int, pick: random.Random) -> str:
    body = "".join(pick.choice(string.digits) for _ in range(length - 4))
    number = "".join(str(int(c, 36)) for c in body + country + "00")
    return f"{country}{98 - int(number) % 97:02d}{body}"


def positives() -> list[tuple[str, str]]:
    """(line, secret): the secret must not be in the masked line."""
    pick = random.Random(1)

    def text(alphabet: str, length: int) -> str:
        return "".join(pick.choice(alphabet) for _ in range(length))

    def jwt() -> str:
        head, body = ({"alg": "HS256", "typ": "JWT"}, {"sub": text(_HEX, 12), "iat": pick.randint(1, 10**9)})
        parts = [
            base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in (head, body)
        ]
        return ".".join([*parts, text(_ALNUM + "-_", 43)])

    makers = [
        lambda: "sk_live_" + text(_ALNUM, 24),
        lambda: "sk_live_" + text(string.digits, 6),
        lambda: "rk_test_" + text(_ALNUM, 24),
        lambda: "ghp_" + text(_ALNUM, 36),
        lambda: "github_pat_" + text(_ALNUM, 22) + "_" + text(_ALNUM, 40),
        lambda: "glpat-" + text(_ALNUM + "-_", 20),
        lambda: "AKIA" + text(string.ascii_uppercase + string.digits, 16),
        lambda: "xoxb-" + text(string.digits, 12) + "-" + text(_ALNUM, 24),
        lambda: "AIza" + text(_ALNUM + "-_", 35),
        lambda: "sk-proj-" + text(_ALNUM, 40),
        lambda: "sk-ant-" + text(_ALNUM + "-_", 40),
        lambda: "SG." + text(_ALNUM, 22) + "." + text(_ALNUM, 43),
        lambda: "npm_" + text(_ALNUM, 36),
        lambda: "hf_" + text(_ALNUM, 34),
        lambda: "dop_v1_" + text(_HEX, 64),
        lambda: "shpat_" + text(_HEX, 32),
        lambda: "pypi-" + text(_ALNUM + "-_", 60),
        lambda: "dapi" + text(_HEX, 32),
        lambda: "SK" + text(_HEX, 32),
        lambda: "ATATT3" + text(_ALNUM + "_-", 40),
        lambda: "figd_" + text(_ALNUM, 40),
        lambda: "NRAK-" + text(string.ascii_uppercase + string.digits, 27),
        lambda: "dckr_pat_" + text(_ALNUM, 27),
        lambda: "hvs." + text(_ALNUM, 30),
        lambda: "ntn_" + text(_ALNUM, 43),
        lambda: "gsk_" + text(_ALNUM, 52),
        lambda: "xai-" + text(_ALNUM, 80),
        lambda: "r8_" + text(_ALNUM, 37),
        lambda: text(string.digits[1:], 9) + ":AA" + text(_ALNUM + "-_", 33),
        jwt,
    ]
    around = [
        "calling upstream with {}",
        "API key: {}",
        "key={} rejected",
        '{{"credential": "{}", "n": 1}}',
        "GET /v1/models?key={}&page=2 401",
        "retry ({}) in 5 s",
    ]
    found = [
        (pick.choice(around).format(secret), secret)
        for make in makers
        for secret in [make() for _ in range(10)]
    ]
    for _ in range(15):
        secret = text(_ALNUM + "!$%*", 12)
        name = pick.choice(
            ["password", "passwd", "pwd", "secret", "client_secret", "api_key", "access_token", "şifre"]
        )
        shape = pick.choice(["{}={}", "{}: {}", '"{}": "{}"', "{}='{}'", "login failed {}={} for ada"])
        found.append((shape.format(name, secret), secret))
        found.append((f"Authorization: Bearer {(token := text(_ALNUM, 40))}", token))
        found.append(
            (f"connect redis://cache:{(word := text(_ALNUM, 14))}@10.0.0.{pick.randint(1, 254)}:6379/0", word)
        )
        prefix, length = pick.choice([("4", 16), ("51", 16), ("37", 15), ("9792", 16)])
        card = _luhn(prefix, length, pick)
        shown = (
            card
            if length == 15 or pick.random() < 0.5
            else " ".join(card[at : at + 4] for at in range(0, 16, 4))
        )
        found.append((f"charged card {shown} for 12.50", shown))
        country, size = (
            pick.choice([("TR", 26), ("DE", 22), ("GB", 22)]) if pick.random() < 0.7 else ("NL", 18)
        )
        if country in ("TR", "DE"):
            iban = _iban(country, size, pick)
            shown = iban if pick.random() < 0.5 else " ".join(iban[at : at + 4] for at in range(0, size, 4))
            found.append((f"paid to {shown}, thanks", shown))
        domain = pick.choice(["mail.com", "example.org", "sirket.com.tr"])
        mail = f"{text(string.ascii_lowercase, 7)}.{pick.choice(_WORDS)}@{domain}"
        found.append((f"mail sent to {mail}.", mail))
        mail = f"{text(string.ascii_lowercase, 5)}+{text(string.digits, 2)}@example.co.uk"
        found.append((f"user <{mail}> signed in", mail))
        digits = text(string.digits, 9)
        phone = f"+90 5{digits[:2]} {digits[2:5]} {digits[5:7]} {digits[7:]}"
        found.append((f"sms to {phone} queued", phone))
        phone = f"+49{pick.randint(15, 17)}{text(string.digits, 9)}"
        found.append((f"call {phone} now", phone))
        phone = f"05{text(string.digits, 9)}"
        found.append((f"ara: {phone}", phone))
    found += [(line.format(secret), secret) for line in WILD for secret in [text(_ALNUM, 12) + "4"]]
    found += REAL
    body = "\n".join(text(_ALNUM + "+/", 64) for _ in range(3))
    for kind in ("RSA ", "EC ", "OPENSSH ", ""):
        found.append(
            (f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----", body[:64])
        )
    return found


def negatives() -> list[str]:
    """Lines that must come through unchanged."""
    pick = random.Random(2)

    def text(alphabet: str, length: int) -> str:
        return "".join(pick.choice(alphabet) for _ in range(length))

    found: list[str] = []
    for _ in range(20):
        found += [
            f"request {uuid.UUID(int=pick.getrandbits(128))} took {pick.randint(1, 900)} ms",
            f"commit {text(_HEX, 40)} deployed",
            f"sha256:{text(_HEX, 64)} pulled",
            f"etag {text(_HEX, 32)} matched",
            f"order {text('123456789', 1)}{text(string.digits, 11)} shipped",
            f"order no 2026-{text(string.digits, 10)} paid",
            f"trace 00-{text(_HEX, 32)}-{text(_HEX, 16)}-01",
            f"at {1_700_000_000_000 + pick.randint(0, 10**10)} offset {pick.randint(10**9, 10**10)}",
            f"2026-11-12 10:{pick.randint(10, 59)}:00,{text(string.digits, 3)} INFO ready",
            f"listening on 10.{pick.randint(0, 255)}.0.{pick.randint(1, 254)}:{pick.randint(1024, 65535)}",
            f"GET /static/{text(_HEX, 8)}.{pick.choice(_WORDS)}@2x.png 200 {pick.randint(10, 99999)}",
            f"git clone git@github.com:team/{pick.choice(_WORDS)}.git",
            f"{pick.choice(_WORDS)} version 2.{pick.randint(0, 40)}.1+build.{text(string.digits, 6)}",
            f"memory 0x{text(_HEX, 12)} freed {pick.randint(10**6, 10**9)} bytes",
            f"tokens: {pick.randint(10, 999)} in, {pick.randint(10, 999)} out",
        ]
    found += [
        "pass: 12 fail: 3",
        "passed=3 failed=0",
        "token_type=bearer expires_in=3600",
        "grant_type=password",
        "token: next",
        "max_tokens=4096 of total_tokens: 12345",
        "pin: on the wall",
        "spin=12345 opinion: 45678",
        "cache key=user:123:profile",
        "sorted by key: name",
        "scikit sk-learn installed, locale sk-SK",
        "cli --tokenizer fast --secrets-from vault",
        "task SKIPPED on DISK",
        "integrity sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC",
        "node_modules/@babel/core@7.23.0",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        "2026-11-12T10:00:00.123456+03:00",
        "date 2026 11 12 10 20 30",
        "order 4111111111111112 of 1234 5678 9012 3456",
        "isbn 9780306406157 id=12345678901234567890",
        "git@github.com:team/repo.git and a@2x.png",
        "http://user@host/ and http://host:8080/a@b",
        "webhooks/list of 12 hooks",
        "password_hash updated, csrf token: missing",
        "GET /static/logo%402x.png",
        "password must have at least twelve characters",
        "invalid password for user ada",
        "password: required",
        "token expired, refreshing",
        "secret: null",
        "the bearer of this note",
        "basic usage of the tool",
        "authorization: denied",
        "cookie consent was given",
        "api_key is missing",
        "bearer authentication failed",
        "def get_token(self) -> str:",
        "public key -----BEGIN CERTIFICATE----- is fine",
        "ratio 4111.1111 over 5500.0000",
        "lat 41.0082376 lon 28.9783589",
        "see https://example.com/docs/page?sort=asc#top",
        "http://localhost:7007/logs?q=level:ERROR",
        "pip install mamimon==0.1.0",
        "ISBN 978-3-16-148410-0",
        "SELECT * FROM users WHERE id = 12345678901",
    ]
    return found
