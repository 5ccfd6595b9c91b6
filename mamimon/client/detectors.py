"""Patterns and checksums of what must not be written down: keys, tokens, cards, IBANs, addresses.

Every pattern starts at a token boundary and has bounded repeats, so a search is linear in the text.
Formats: the vendors' documentation of their key prefixes; ISO/IEC 7812 (cards); ISO 13616 (IBAN);
E.164 (phone numbers); RFC 7519 (JWT); RFC 6750 (bearer).
"""

from __future__ import annotations

import re

API_KEY: re.Pattern[str]
HOOK: re.Pattern[str]
TELEGRAM: re.Pattern[str]
SIGNED: re.Pattern[str]
OPTION: re.Pattern[str]
SHORT_CODE: re.Pattern[str]
JWT: re.Pattern[str]
BEARER: re.Pattern[str]
URL_PASSWORD: re.Pattern[str]
NAMED_VALUE: re.Pattern[str]
EMAIL: re.Pattern[str]
EMAIL_QUOTED: re.Pattern[str]
CARD: re.Pattern[str]
IBAN: re.Pattern[str]
PHONE_PLUS: re.Pattern[str]
PHONE_LOCAL: re.Pattern[str]
PHONE_NAMED: re.Pattern[str]
LONG_NUMBER: re.Pattern[str]
NINE_DIGITS: re.Pattern[str]
BOUNDED_NUMBER: re.Pattern[str]
KEY_HINT: re.Pattern[str]
CAPITAL_HINT: re.Pattern[str]
TWILIO_HINT: re.Pattern[str]
NAME_HINT: re.Pattern[str]

# Compiled when first asked for, by `__getattr__`: all of them are a third of what importing us costs.
_PATTERNS: dict[str, str] = {}


def __getattr__(name: str) -> re.Pattern[str]:
    if name not in _PATTERNS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    pattern = globals()[name] = re.compile(_PATTERNS[name])
    return pattern


# Key prefixes that vendors made recognisable on purpose. Lower-case literals in HINTS must cover them.
_PATTERNS["API_KEY"] = (
    r"(?<![A-Za-z0-9])(?:"
    r"(?:[spr]k|rzp|whsec)_(?:live|test)_[A-Za-z0-9]{6,255}"  # Stripe, Razorpay
    r"|whsec_[A-Za-z0-9+/=]{16,255}"
    r"|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}"
    r"|gl(?:pat|ptt|rt|soat)-[A-Za-z0-9_-]{20,255}"
    r"|(?:AKIA|ASIA|AROA|AIDA|ABIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS key ids
    r"|xox[abcdeoprs]-[A-Za-z0-9-]{10,255}|xapp-[A-Za-z0-9-]{10,255}"  # Slack
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,512}|GOCSPX-[A-Za-z0-9_-]{20,64}"  # Google
    r"|sk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,255}"  # OpenAI, Anthropic
    r"|SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,128}"  # SendGrid
    r"|key-[0-9a-f]{32}(?![0-9a-f])"  # Mailgun
    r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,255}|hf_[A-Za-z0-9]{30,64}"
    r"|do[opr]_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sq0[a-z]{3}-[A-Za-z0-9_-]{22,64}"
    r"|lin_api_[A-Za-z0-9]{32,64}|sntry[su]_[A-Za-z0-9_=+/-]{20,512}"
    r"|(?:glc|glsa)_[A-Za-z0-9_=+/-]{30,512}|ph[cx]_[A-Za-z0-9]{32,64}|age-secret-key-1[a-z0-9]{58}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{58}|mmt_[A-Za-z0-9_-]{20,128}"
    # Databricks, Twilio, Atlassian
    r"|dapi[0-9a-f]{32}|SK[0-9a-f]{32}(?![0-9a-z])|ATATT3[A-Za-z0-9_=-]{20,512}"
    r"|figd_[A-Za-z0-9_-]{30,64}|NRAK-[A-Z0-9]{27}|dckr_pat_[A-Za-z0-9_-]{20,64}"
    r"|hv[sbr]\.[A-Za-z0-9_-]{24,512}|(?:secret|ntn)_[A-Za-z0-9]{40,64}"  # Vault, Notion
    r"|gsk_[A-Za-z0-9]{40,64}|xai-[A-Za-z0-9]{60,96}|r8_[A-Za-z0-9]{37,40}"  # Groq, xAI, Replicate
    r")"
)
_PATTERNS["HOOK"] = (
    r"(?:(?<=hooks\.slack\.com/services/)|(?<=/api/webhooks/))[A-Za-z0-9/_-]{10,128}"  # Slack, Discord
)
_PATTERNS["TELEGRAM"] = r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"
_PATTERNS["SIGNED"] = r"(?<=[?&]sig=)[A-Za-z0-9%+/=_-]{20,512}"  # Azure's signed addresses
_PATTERNS["OPTION"] = (
    r"(--(?:password|passwd|passphrase|token|secret|api-?key|access-?key|auth-?token|client-?secret) )"
    r"([^\s-][^\s]{0,1023})"
)
_PATTERNS["SHORT_CODE"] = (
    r"(?i)((?<![a-z])(?:otp|pin)(?:[ _-]?code)?['\"]?[ ]?[:=][ ]?['\"]?)([0-9]{4,8})(?![0-9.])"
)
_PATTERNS["JWT"] = (
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}(?:\.[A-Za-z0-9_-]{0,2048}){0,3}"
)
# "bearer authentication" is prose; a credential has a digit in it or is long.
_PATTERNS["BEARER"] = (
    r"(?i)(?<![A-Za-z0-9])(bearer|authorization: ?(?:basic|token|apikey|digest)"
    r"|authorization['\"]?: ?['\"](?:basic|token|apikey)|basic)"
    r"([ ]{1,3})(?=[A-Za-z._~+/=-]{0,200}[0-9]|[A-Za-z._~+/=-]{24})([A-Za-z0-9._~+/-]{8,4096}={0,2})(?![\w=])"
)
_PATTERNS["URL_PASSWORD"] = r"(?<=://)([^\s/@:?#]{0,128}):([^\s/@]{1,256})(?=@)"  # noqa: S105 - a pattern
_PATTERNS["NAMED_VALUE"] = (
    r"(?i)((?:pass(?:word|wd|phrase|code)|(?<![a-z])p(?:ass|wd|arola)|şifre|sifre|secret(?:[_-]?(?:access)?[_-]?key)?"
    r"|client[_-]?secret|api[_-]?key|(?:access|account)[_-]?key|private[_-]?key|signing[_-]?key|encryption[_-]?key"
    r"|(?:access|auth|refresh|id|session|csrf|bot|api)?[_-]?token|(?<![a-z])cvv2?|(?<![a-z])cvc2?"
    r"|credentials?|sessionid|phpsessid|jsessionid|(?:set-)?cookie)(?![a-z_-])"
    r"['\"]?[ ]?(?:=>|[:=])[ ]{0,3})(?:\"((?:[^\"\\]|\\.){1,1024})\""
    r"|'((?:[^'\\]|\\.){1,1024})'|([^\s,;&\"'<>)\]}]{1,1024}))"
)
# What follows "password:" in prose and in configuration dumps, and is no password.
NOT_A_VALUE = frozenset(
    "must is was are be required incorrect invalid wrong missing null none nil true false too not "
    "no field expired empty reset changed updated ok yes undefined unset set failed failure error "
    "rejected accepted mismatch str string int optional redacted hidden masked removed filtered "
    "denied should cannot has and or for from the a an bearer basic count limit refresh refreshed "
    "revoked issued valid verified disabled enabled unknown next previous new old current same default "
    "auto here there value name type id used given found".split()
)
_PATTERNS["EMAIL"] = r"(?<![\w.%+-])([\w.%+-]{1,64})@([^\W_](?:[\w-]{0,62}\.){1,8}[^\W\d_]{2,24})(?![\w@-])"
# As it stands in addresses of pages; a file there is no mailbox.
_PATTERNS["EMAIL_QUOTED"] = (
    r"(?<![\w.%+-])([\w.+-]{1,64})%40([A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24})(?![\w@-])"
)
FILE_SUFFIXES = frozenset(
    "png jpg jpeg gif svg webp avif ico js mjs css ts tsx jsx py json yaml yml toml md txt html "
    "so local service".split()
)
_PATTERNS["CARD"] = r"(?<![\w.+-])[3-69][0-9](?:[ -]?[0-9]){10,17}(?![\w-]|\.[0-9])"
# Literals first and the look-behind after them: the search then skips to them as fast as `in` does.
_PATTERNS["IBAN"] = r"[A-Z](?<![A-Za-z0-9].)[A-Z][0-9]{2}[ A-Z0-9]{11,42}"
_PATTERNS["PHONE_PLUS"] = r"\+(?<![\w.+/-]\+)[1-9](?:[ ().-]{0,2}[0-9]){9,14}(?![\w-]|[.:][0-9])"
_PATTERNS["PHONE_LOCAL"] = (
    r"(?<![\w.+:/=-])(?:00[1-9](?:[ ().-]{0,2}[0-9]){9,13}"
    r"|\(?0?\(?5[0-9]{2}\)?[ -][0-9]{3}[ -][0-9]{2}[ -]?[0-9]{2}|05[0-9]{9}"
    r"|\([2-9][0-9]{2}\) ?[2-9][0-9]{2}-[0-9]{4}|[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4})(?![\w-]|[.:][0-9])"
)
_PATTERNS["PHONE_NAMED"] = (
    r"(?i)((?:phone|mobile|gsm|telefon|msisdn|tel)[a-z_]{0,10}['\"]?[=:] ?['\"]?)"
    r"(\+?[0-9](?:[ ().-]{0,2}[0-9]){8,14})"
)
# No card, IBAN or phone number without the first two (the second keeps dates and addresses out, and costs
# twice the first); no card or phone number without the third.
_PATTERNS["LONG_NUMBER"] = r"[0-9][0-9 ().-]{7}"
_PATTERNS["NINE_DIGITS"] = r"[0-9](?:[ ().-]{0,2}[0-9]){8}"
_PATTERNS["BOUNDED_NUMBER"] = r"[0-9+(](?<![\w.-].)[0-9 ().-]{8}"

# Hints tell whether a detector can match at all. Each is tried at separators only: one cheap pass over a
# clean text instead of a search for every prefix. (Joined in one expression they are slower: measured.)
# API_KEY: the last letters of a vendor's prefix, before six characters of a key.
_PATTERNS["KEY_HINT"] = (
    r"[_.-](?=[a-z0-9_-]{6})(?<=(?:h[opusrcx]_|[cps]a_|[veus][ceatst]_|[artsp][tp]-|x[abcdeoprs]-|29\.|sg\.|px-|sk-|ey-"
    r"|[ph][imf]_|at_|v1_|ss_|y[su]_|lc_|mt_|gd_|et_|sk_|tn_|r8_|[pa]i-|ak-|v[sbr]\.))"
)
_PATTERNS["CAPITAL_HINT"] = r"A(?:KIA|SIA|ROA|IDA|BIA|Iza|TATT)"
_PATTERNS["TWILIO_HINT"] = r"SK[0-9a-f]{32}"
# NAMED_VALUE: the last letters of its names, before a separator.
_ENDS = "ord|swd|ase|ode|ass|pwd|ola|fre|ret|key|ken|cvv|vv2|cvc|vc2|als|ial|nid|kie|otp|pin"
_PATTERNS["NAME_HINT"] = (
    rf"[:=](?:(?<=(?:{_ENDS})[:=])|(?<=(?:{_ENDS})[\"' ][:=])|(?<=(?:{_ENDS})[\"'] [:=]))"
)

# Length of an IBAN by country (SWIFT registry, release 99; the common ones).
IBAN_LENGTHS = {
    pair[:2]: int(pair[2:])
    for pair in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 "
        "DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 "
        "IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 "
        "MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 "
        "SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
    ).split()
}


def luhn(digits: str) -> bool:
    """Whether the check digit of ISO/IEC 7812-1 annex B holds."""
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


def is_card(text: str) -> bool:
    """A payment card: issuer prefix, length of that issuer, written as people write them, and Luhn.

    One in ten random numbers passes Luhn, so order numbers are kept apart by prefix, length and grouping.
    """
    digits = text.replace(" ", "").replace("-", "")
    length = len(digits)
    groups = text.replace("-", " ").split(" ")
    if len(groups) > 1 and [len(group) for group in groups] not in (
        [4, 4, 4, 4], [4, 6, 5], [4, 6, 4], [4, 4, 4, 4, 3], [4, 4, 4, 1]
    ):  # fmt: skip
        return False
    two, four = int(digits[:2]), int(digits[:4])
    known = (
        (digits[0] == "4" and length in (13, 16, 19))
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and length == 16)
        or (two in (34, 37) and length == 15)
        or ((two in (36, 38, 39) or 300 <= four // 10 <= 305) and length == 14)
        or ((four == 6011 or two in (62, 64, 65) or 3528 <= four <= 3589 or four == 9792) and length == 16)
        or (four in (5018, 5020, 5038, 6304, 6759, 6761, 6763) and 13 <= length <= 19)
    )
    return known and len(set(digits)) > 1 and luhn(digits)


def iban_end(text: str) -> int:
    """How many characters of `text`, which starts like an IBAN, are one; 0 where the checksum fails."""
    length = IBAN_LENGTHS.get(text[:2], 0)
    letters: list[str] = []
    end = 0
    for end, letter in enumerate(text, 1):  # noqa: B007 - its last value is the answer
        if letter != " ":
            letters.append(letter)
            if len(letters) == length:
                break
    if not length or len(letters) != length or text[end : end + 1].isalnum():
        return 0
    rearranged = "".join(letters[4:] + letters[:4])
    number = "".join(str(int(letter, 36)) for letter in rearranged)
    return end if int(number) % 97 == 1 else 0
