"""What Alertmanager refuses in a configuration before it looks at routes, for every service it knows.

Source: Alertmanager's `config/config.go` and its notifiers' `UnmarshalYAML` (0.34). A service that we cannot
deliver to is checked as well, so that a file means here what it means there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mamimon.problems import bad_input

_POST_MESSAGE = "https://slack.com/api/chat.postMessage"
# A receiver's own keys (and its global fallbacks) of which one must be there, and the complaint otherwise.
_NEEDS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...]] = {
    "mattermost": (
        (("webhook_url",), ("mattermost_webhook_url",), "missing webhook_url or webhook_url_file"),
    ),
    "rocketchat": (
        (("token",), ("rocketchat_token",), "no global Rocketchat Token set either inline or in a file"),
        (
            ("token_id",),
            ("rocketchat_token_id",),
            "no global Rocketchat TokenID set either inline or in a file",
        ),
    ),
    "telegram": ((("bot_token",), ("telegram_bot_token",), "missing bot_token or bot_token_file"),),
    "victorops": ((("api_key",), ("victorops_api_key",), "no global VictorOps API Key set"),),
    "wechat": (
        (
            ("api_secret",),
            ("wechat_api_secret",),
            "no global Wechat Api Secret set either inline or in a file",
        ),
    ),
    "sns": (
        (
            ("target_arn", "topic_arn", "phone_number"),
            (),
            "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config",
        ),
    ),
}


def check_global(raw: Mapping[str, Any]) -> None:
    """The `global` section: a secret is given inline or by its file, not both."""
    _one_of_each_pair(raw)
    token = raw.get("slack_app_token") or raw.get("slack_app_token_file")
    url = raw.get("slack_api_url") or raw.get("slack_api_url_file")
    if token and url and url != _POST_MESSAGE:
        raise bad_input(
            "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file "
            "must be configured"
        )


def check_receiver(kind: str, raw: Mapping[str, Any], top: Mapping[str, Any]) -> None:
    """One `<kind>_configs` entry beside the `global` section `top`."""
    _one_of_each_pair(raw)
    for own, fallback, complaint in _NEEDS.get(kind, ()):
        if not any(_given(raw, key) for key in own) and not any(_given(top, key) for key in fallback):
            raise bad_input(complaint)
    if kind == "slack" and raw.get("update_message") and raw.get("api_url", _POST_MESSAGE) != _POST_MESSAGE:
        raise bad_input(
            f"update_message can only be used with bot tokens. api_url must be set to {_POST_MESSAGE}"
        )


def _given(raw: Mapping[str, Any], key: str) -> bool:
    return bool(raw.get(key) or raw.get(f"{key}_file"))


def _one_of_each_pair(raw: Mapping[str, Any]) -> None:
    for key in raw:
        if raw.get(key) and raw.get(f"{key}_file"):
            raise bad_input(f"at most one of {key} & {key}_file must be configured")
