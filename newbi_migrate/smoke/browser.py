"""A browser for one application's Better Auth: requests, cookies, and answers as values.

It follows no redirect, for a redirect would carry a password or a cookie somewhere nobody named.
"""

from __future__ import annotations

import http.client
import http.cookiejar
import ipaddress
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any, Final
from urllib.parse import SplitResult, urlencode, urlsplit

from newbi_migrate.errors import UnreachableError, UsageError

__all__ = ["Browser", "Reply", "application_url"]

_BASE: Final = "/api/auth"
_LARGEST: Final = 4_000_000
_SHAPE: Final = "Give the address people use, such as https://app.example.com."


@dataclass(frozen=True, slots=True)
class Reply:
    """What the application answered.

    Attributes:
        status: Status of HTTP.
        body: The JSON of its answer, or ``None`` where it held none.
        retry_after: Seconds to wait before the next try, where the answer named some.
        location: Where a redirect leads, without its query.
        is_json: Whether the answer was JSON at all.
    """

    status: int
    body: Any = None
    retry_after: str = ""
    location: str = ""
    is_json: bool = True

    @property
    def code(self) -> str:
        """Better Auth's code of an error, or an empty text."""
        return str(self.body.get("code") or "") if isinstance(self.body, Mapping) else ""

    @property
    def good(self) -> bool:
        """Whether the answer is one that was wanted."""
        return self.status == http.client.OK and self.is_json


def application_url(text: str, *, allow_http: bool = False) -> str:
    """The address of an application, checked and without what follows its host.

    Args:
        text: What a person gave.
        allow_http: Whether a password may cross a network in clear.

    Raises:
        UsageError: It is no address of a web application, holds credentials, or would send the
            password in clear to another machine.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError("The application's address cannot be read.", next_step=_SHAPE) from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(
            "The application's address is neither http nor https.", next_step=_SHAPE
        ) from None
    if "@" in parts.netloc:
        raise UsageError("The application's address holds credentials.", next_step=_SHAPE)
    if parts.scheme == "http" and not allow_http and not _is_here(host):
        raise UsageError(
            f"The password would cross the network to {host} in clear.",
            next_step="Use the https address, or --allow-http where the network is trusted.",
        )
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port is None else f"{shown}:{port}"
    path = parts.path.rstrip("/").removesuffix(_BASE)
    return SplitResult(parts.scheme, netloc, path, "", "").geturl()


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        """Follows none: the answer itself is what the caller gets."""


class Browser:
    """Somebody at the application, with cookies of their own.

    Args:
        application: What :func:`application_url` gave.
        timeout: Seconds to wait for an answer.
    """

    def __init__(self, application: str, *, timeout: float) -> None:
        self._application = application
        self._timeout = timeout
        parts = urlsplit(application)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        handlers: list[urllib.request.BaseHandler] = [
            _NoRedirect(),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        ]
        if _is_here(parts.hostname or ""):
            # A proxy elsewhere cannot know what listens on this machine.
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, **query: str) -> Reply:
        """Asks for something.

        Raises:
            UnreachableError: No answer came.
        """
        return self._send(f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, **body: Any) -> Reply:
        """Sends something.

        Raises:
            UnreachableError: No answer came.
        """
        return self._send(path, json.dumps(body).encode())

    def _send(self, path: str, body: bytes | None) -> Reply:
        # Only http and https get through application_url.
        request = urllib.request.Request(  # noqa: S310
            f"{self._application}{_BASE}{path}",
            data=body,
            headers={
                "Accept": "application/json",
                "Content-Type": "application/json",
                # Better Auth refuses cookies from a page it does not know.
                "Origin": self._origin,
                "User-Agent": "newbi-migrate smoke",
            },
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return _reply(answer.status, answer.headers, answer.read(_LARGEST))
        except urllib.error.HTTPError as error:
            with error:
                return _reply(error.code, error.headers, error.read(_LARGEST))
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, reason: object) -> UnreachableError:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return UnreachableError(
                f"The certificate of {self._origin} is not trusted ({reason.verify_message}).",
                next_step="Name its authority with SSL_CERT_FILE, or repair the certificate.",
            )
        if isinstance(reason, TimeoutError):
            said = f"it did not answer within {self._timeout:g} s"
        else:
            said = getattr(reason, "strerror", None) or type(reason).__name__
        return UnreachableError(
            f"The application at {self._origin} cannot be reached: {said}.",
            next_step="Start it, and check the address (--url or FRONTEND_URL).",
        )


def _reply(status: int, headers: Message[str, str], content: bytes) -> Reply:
    is_json = "json" in headers.get_content_type()
    body: Any = None
    if is_json and content:
        try:
            body = json.loads(content)
        except ValueError:
            is_json = False
    waiting = headers.get("Retry-After") or headers.get("X-Retry-After") or ""
    location = headers.get("Location") or ""
    return Reply(
        status=status,
        body=body,
        retry_after=waiting if waiting.isdigit() else "",
        location=location.partition("?")[0],
        is_json=is_json,
    )
