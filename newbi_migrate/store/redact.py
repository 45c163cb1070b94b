"""Taking credentials out of text, whoever wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

__all__ = ["MARK", "Redactor", "redact", "redact_uri"]

MARK = "***"

# Options whose values are safe to show and help a reader; every other value is hidden, so that
# an option nobody thought of leaks nothing.
_HARMLESS = frozenset(
    option.lower()
    for option in (
        "appName",
        "authMechanism",
        "authSource",
        "compressors",
        "connectTimeoutMS",
        "directConnection",
        "journal",
        "loadBalanced",
        "maxPoolSize",
        "readConcernLevel",
        "readPreference",
        "replicaSet",
        "retryReads",
        "retryWrites",
        "serverSelectionTimeoutMS",
        "socketTimeoutMS",
        "srvMaxHosts",
        "srvServiceName",
        "ssl",
        "tls",
        "tlsAllowInvalidCertificates",
        "tlsAllowInvalidHostnames",
        "tlsInsecure",
        "w",
        "wTimeoutMS",
    )
)

# A string in quotes or brackets ends there; one in running text at the first blank.
_URI = re.compile(r"mongodb(?:\+srv)?://[^\s\"'<>`]*", re.IGNORECASE)

_OPTION = re.compile(
    r"\b(authMechanismProperties|tlsCertificateKeyFilePassword|sslPEMPassphrase|proxyPassword"
    r"|proxyUsername|password|passwd|passphrase|pwd)=[^\s\"'&;>]*",
    re.IGNORECASE,
)
_PROPERTY = re.compile(r"\b(AWS_SESSION_TOKEN)(['\"]?\s*[:=]\s*['\"]?)[^\s\"',&;}]*", re.IGNORECASE)
_QUOTED = re.compile(
    r"(?P<key>['\"](?:pwd|password|passwd|passphrase|payload)['\"]\s*:\s*)"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')",
    re.IGNORECASE,
)

# Shorter ones stand in too many words to be cut out of the middle of one.
_SHORT = 4


def redact_uri(uri: str) -> str:
    """A connection string without user, password and any option value that may be secret.

    What is not a well-formed connection string loses everything after its scheme.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return MARK
    before_options, question, options = rest.partition("?")
    userinfo, at, hosts = before_options.rpartition("@")
    if "@" in options and not at:
        # The password holds an unescaped question mark: no part can be told from another.
        return f"{scheme}://{MARK}"
    if "/" in userinfo or userinfo.endswith(":") or (not at and _looks_like_userinfo(hosts)):
        return f"{scheme}://{MARK}"
    shown = [_redact_option(option) for option in re.split("[&;]", options)] if options else []
    return f"{scheme}://{MARK + at if at else ''}{hosts}{question}{'&'.join(shown)}"


def _looks_like_userinfo(hosts: str) -> bool:
    # "user:pass" whose "@" was lost, by a line break or a bad paste: the port is no number.
    authority = hosts.partition("/")[0]
    if authority.startswith("["):
        return False
    return any(
        ":" in host and not host.rpartition(":")[2].isdigit() for host in authority.split(",")
    )


def _redact_option(option: str) -> str:
    key, equals, _ = option.partition("=")
    if not equals:
        return MARK
    if key.lower() in _HARMLESS:
        return option
    return f"{key}={MARK}" if key.isalpha() else MARK


def redact(text: str) -> str:
    """``text`` without the credentials that can be recognised by their form."""
    text = _URI.sub(lambda found: redact_uri(found.group()), text)
    text = _OPTION.sub(lambda found: f"{found.group(1)}={MARK}", text)
    text = _PROPERTY.sub(lambda found: f"{found.group(1)}{found.group(2)}{MARK}", text)
    return _QUOTED.sub(lambda found: f'{found.group("key")}"{MARK}"', text)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes out known secrets too, in every spelling in which text may hold them.

    Secrets of fewer than four characters are taken out only where they stand alone: they are
    part of too many words, and a text full of holes would tell where.

    Args:
        secrets: The secrets in clear.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spellings = sorted(set(_spellings(self.secrets)), key=lambda s: (-len(s), s))
        parts = [
            re.escape(s) if len(s) >= _SHORT else rf"(?<!\w){re.escape(s)}(?!\w)" for s in spellings
        ]
        pattern = re.compile("|".join(parts)) if parts else None
        object.__setattr__(self, "_pattern", pattern)

    def __call__(self, text: str) -> str:
        """``text`` without known secrets and without what looks like a credential."""
        if self._pattern is not None:
            # Known ones first: a pattern of ours could cut one in two and leave its end.
            text = self._pattern.sub(MARK, text)
        return redact(text)


def _spellings(secrets: Iterable[str]) -> Iterator[str]:
    for secret in secrets:
        if not secret:
            continue
        yield secret
        yield quote(secret, safe="", errors="surrogatepass")
        yield quote(secret, errors="surrogatepass")
        yield quote_plus(secret, errors="surrogatepass")
        yield json.dumps(secret)[1:-1]
        yield json.dumps(secret, ensure_ascii=False)[1:-1]
        yield repr(secret)[1:-1]
        yield ascii(secret)[1:-1]
