"""Taking out of texts what names or lets in somebody: keys, addresses, numbers of phones, cards and accounts.

By patterns that say clearly what they are; names of people, places and firms stay, and so does a secret that looks
like any other word. A digit string counts as a card or an account only where its check digits hold, as prompts of
mathematics are full of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_SECRET, _EMAIL, _PHONE, _CARD, _ACCOUNT = "[SECRET]", "[EMAIL]", "[PHONE]", "[CARD]", "[ACCOUNT]"
_KEY_BLOCK: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_KEYS: Final = re.compile(
    r"""
    \b(?:
        sk-[A-Za-z0-9_-]{16,}                           # OpenAI, Anthropic and who copied the form
      | [rsp]k_(?:live|test)_[A-Za-z0-9]{16,}           # Stripe
      | (?:AKIA|ASIA)[A-Z0-9]{16}                       # AWS
      | AIza[A-Za-z0-9_-]{35}                           # Google
      | gh[pousr]_[A-Za-z0-9]{36,} | github_pat_\w{22,} # GitHub
      | glpat-[A-Za-z0-9_-]{20,}                        # GitLab
      | hf_[A-Za-z0-9]{30,}                             # Hugging Face
      | npm_[A-Za-z0-9]{36}
      | pypi-[A-Za-z0-9_-]{50,}
      | xox[abeoprs]-[A-Za-z0-9-]{10,}                  # Slack
      | eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*  # JSON web tokens
    )
    """,
    re.VERBOSE,
)
_SAID: Final = re.compile(
    r"""((?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|bearer)
    ["']?\s*(?:[:=]|(?<=bearer)\s)\s*["']?)([^\s"',;]{6,})""",
    re.VERBOSE | re.IGNORECASE,
)
_TOLD: Final = re.compile(
    r"""((?:password|passphrase|secret|key)\s+is:?\s+["']?)(?=\S*\d)([^\s"',;]{6,})""", re.IGNORECASE
)
_LOGIN: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@:]+:[^\s/@]+@", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b")
_INTERNATIONAL: Final = re.compile(r"(?<![\w.])\+\d{1,3}(?:[ .()/-]{0,2}\d){7,12}(?![\w.]*\d)")
_NORTH_AMERICAN: Final = re.compile(r"(?<![\w.+-])(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w-])")
_DIGITS: Final = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]*\d)")
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")


def redact(text: str) -> str:
    """The text with a word in brackets for each thing that was taken out, such as ``[EMAIL]``; equal texts stay so.

    Lone surrogates, which no file of UTF-8 holds, become question marks.
    """
    text = text.encode("utf-8", "replace").decode()
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def _card(found: re.Match[str]) -> str:
    """Luhn's check, which one number in ten passes by chance."""
    digits = [int(each) for each in found[0] if each.isdigit()]
    total = sum(sum(divmod(2 * digit, 10)) if place % 2 else digit for place, digit in enumerate(reversed(digits)))
    return found[0] if total % 10 or len(set(digits)) == 1 else _CARD


def _account(found: re.Match[str]) -> str:
    """The check of ISO 13616."""
    plain = found[0].replace(" ", "")
    number = "".join(str(int(each, 36)) for each in plain[4:] + plain[:4])
    return found[0] if int(number) % 97 != 1 else _ACCOUNT


_Instead = str | Callable[[re.Match[str]], str]
_RULES: Final[tuple[tuple[re.Pattern[str], _Instead], ...]] = (
    (_KEY_BLOCK, _SECRET),
    (_LOGIN, rf"\1{_SECRET}@"),
    (_KEYS, _SECRET),
    (_SAID, rf"\1{_SECRET}"),
    (_TOLD, rf"\1{_SECRET}"),
    (_ADDRESS, _EMAIL),
    (_IBAN, _account),
    (_DIGITS, _card),
    (_INTERNATIONAL, _PHONE),
    (_NORTH_AMERICAN, _PHONE),
)
