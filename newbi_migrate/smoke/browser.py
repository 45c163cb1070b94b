"""A browser for one application's Better Auth: requests, cookies, and answers as values.

It does what a browser does with a page of that application: cookies, headers, redirects. A redirect
to another address is not followed, for it would carry a password somewhere nobody named.
"""

from __future__ import annotations

import http.client
import http.cookiejar
import ipaddress
import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from email.message import Message
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit

from newbi_migrate.errors import UnreachableError, UsageError

__all__ = ["Browser", "Reply", "application_url"]

_BASE: Final = "/api/auth"
_LARGEST: Final = 4_000_000
_MOST_REDIRECTS: Final = 5
_KEEPS_METHOD: Final = frozenset({307, 308})
_REDIRECTS: Final = frozenset({301, 302, 303, *_KEEPS_METHOD})
_PORTS: Final = {"http": 80, "https": 443}
# What a path may hold as it is; the rest is escaped, as browsers do.
_IN_PATHS: Final = "/%:@!$&'()*+,;=~-._"
_SHAPE: Final = "Give the address people use, such as https://app.example.com."


@dataclass(frozen=True, slots=True)
class Reply:
    """What the application answered.

    Attributes:
        status: Status of HTTP.
        body: The JSON of its answer, or ``None`` where it held none.
        retry_after: Seconds to wait before the next try, where the answer named some.
        location: Where a redirect led, without its query, whether it was followed or not.
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
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise UsageError(
            "The application's address has a host that cannot be.", next_step=_SHAPE
        ) from None
    shown = f"[{ascii_host}]" if ":" in host else ascii_host
    netloc = shown if port in (None, _PORTS[parts.scheme]) else f"{shown}:{port}"
    path = quote(parts.path, safe=_IN_PATHS).rstrip("/").removesuffix(_BASE)
    return SplitResult(parts.scheme, netloc, path, "", "").geturl()


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Unaltered(urllib.request.HTTPErrorProcessor):
    """Gives every answer as it came, whatever its status."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:  # noqa: ARG002
        """The answer itself."""
        return response

    https_response = http_response


class _CookiePolicy(http.cookiejar.DefaultCookiePolicy):
    """Takes and sends the cookies of one host, as browsers do.

    Attributes:
        refused: The last cookie that a browser would not take, and why; empty if there was none.

    Args:
        parts: The application's address.
    """

    def __init__(self, parts: SplitResult) -> None:
        self._host = parts.hostname or ""
        # Browsers trust what never leaves the machine as much as https.
        self._trusted = parts.scheme == "https" or _is_here(self._host)
        self.refused = ""
        super().__init__(secure_protocols=(*_PORTS,) if self._trusted else ("https",))

    def set_ok(self, cookie: http.cookiejar.Cookie, request: urllib.request.Request) -> bool:
        """Whether it is taken."""
        fault = self._fault(cookie)
        if fault:
            self.refused = f"{cookie.name} ({fault})"
        return not fault and super().set_ok(cookie, request)

    def _fault(self, cookie: http.cookiejar.Cookie) -> str:
        same_site = next(
            (v for k in ("SameSite", "samesite") if (v := cookie.get_nonstandard_attr(k))), ""
        )
        domain = cookie.domain.lstrip(".")
        if cookie.domain_specified and not f".{self._host}".endswith(f".{domain}"):
            return f"its domain is {domain}"
        if cookie.secure:
            return "" if self._trusted else "it is Secure, and the address is http"
        if cookie.name.startswith(("__Secure-", "__Host-")):
            return "its name asks for Secure, and it is not"
        return "it is SameSite=None and not Secure" if same_site.lower() == "none" else ""

    # One host is spoken to, and every cookie that was taken is its own. The library's own rules
    # are of a time before browsers took localhost for a domain.

    def set_ok_domain(self, *_: object, **__: object) -> bool:
        """It was looked at."""
        return True

    return_ok_domain = domain_return_ok = set_ok_domain


class Browser:
    """Somebody at the application, with cookies of their own.

    Args:
        application: What :func:`application_url` gave.
        timeout: Seconds to wait for a whole answer.
    """

    def __init__(self, application: str, *, timeout: float) -> None:
        self._application = application
        self._timeout = timeout
        parts = urlsplit(application)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._policy = _CookiePolicy(parts)
        handlers: list[urllib.request.BaseHandler] = [
            _Unaltered(),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar(self._policy)),
        ]
        if _is_here(parts.hostname or ""):
            # A proxy elsewhere cannot know what listens on this machine.
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    @property
    def refused_cookie(self) -> str:
        """The last cookie that a browser would not take, and why; empty if there was none."""
        return self._policy.refused

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
        url, location = f"{self._application}{_BASE}{path}", ""
        for _ in range(_MOST_REDIRECTS):
            reply = self._ask(url, body)
            target = self._here(url, reply.location) if reply.status in _REDIRECTS else None
            location = reply.location or location
            if target is None:
                break
            url, body = target, body if reply.status in _KEEPS_METHOD else None
        return replace(reply, location=location.partition("?")[0])

    def _here(self, url: str, location: str) -> str | None:
        """Where a redirect leads, if it stays with the application."""
        try:
            parts = urlsplit(urljoin(url, location))
            port = parts.port
        except ValueError:
            return None
        netloc = parts.netloc.lower()
        if port == _PORTS.get(parts.scheme):
            netloc = netloc.removesuffix(f":{port}")
        if not location or f"{parts.scheme}://{netloc}" != self._origin:
            return None
        path, query = (quote(part, safe=_IN_PATHS) for part in (parts.path, parts.query))
        return parts._replace(path=path, query=query, fragment="").geturl()

    def _ask(self, url: str, body: bytes | None) -> Reply:
        # Only http and https get through application_url.
        request = urllib.request.Request(url, data=body, headers=self._headers(body))  # noqa: S310
        coming: Future[Reply] = Future()
        # A socket's timeout is for each read: an answer that drips would never end it. Nor does
        # it end the look-up of a name.
        threading.Thread(target=self._answer, args=(request, coming), daemon=True).start()
        try:
            return coming.result(self._timeout)
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None

    def _answer(self, request: urllib.request.Request, coming: Future[Reply]) -> None:
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                coming.set_result(_reply(answer.status, answer.headers, answer.read(_LARGEST)))
        except Exception as error:  # noqa: BLE001  # whoever waits is told
            coming.set_exception(error)

    def _headers(self, body: bytes | None) -> dict[str, str]:
        """What a browser says of a request that a page of the application makes."""
        headers = {
            "Accept": "application/json",
            "Referer": f"{self._application}/",
            "Sec-Fetch-Dest": "empty",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Site": "same-origin",
            "User-Agent": "newbi-migrate smoke",
        }
        if body is not None:
            # Better Auth refuses cookies from a page it does not know.
            headers |= {"Content-Type": "application/json", "Origin": self._origin}
        return headers

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
        except (ValueError, RecursionError):
            is_json = False
    waiting = headers.get("Retry-After") or headers.get("X-Retry-After") or ""
    return Reply(
        status=status,
        body=body,
        retry_after=waiting if waiting.isdigit() else "",
        location=headers.get("Location") or "",
        is_json=is_json,
    )
