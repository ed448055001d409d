"""What is asked, and where: a server of the lab or any address on this machine, resolved once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from requestlab.errors import ConfigurationError, RemoteTargetError
from requestlab.load.transport import encode, resolve
from requestlab.serving.server import Server


@dataclass(frozen=True, eq=False)
class Target:
    """A path at an address; `server` is None where that is not one of the lab's."""

    server: Server | None
    label: str
    path: str
    url: httpx.URL
    family: int
    address: tuple[Any, ...]

    def request(self, keep_alive: bool, method: str = "GET", **more: str) -> str:
        """Return what is sent, in latin-1; it asks the server to close where the connection is not to be kept. `more` are
        headers, `_` in place of `-`; a body comes after it."""
        headers = {"user-agent": "requestlab", "accept": "*/*"} | ({} if keep_alive else {"connection": "close"})
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        return encode(httpx.Request(method, self.url, headers=headers)).decode("latin-1")


def find_target(target: Server | str, path: str, remote: bool = False) -> Target:
    """Return where `target` and `path` lead.

    Raises ConfigurationError for what is no address, RemoteTargetError for one on another machine unless `remote`, and
    ServerGoneError for a server that has ended.
    """
    server = target if isinstance(target, Server) else None
    if server is not None:
        server.check()
    url = _url(target, path)
    family, address = resolve(url)
    if not remote and not on_this_machine(address[0]):
        raise RemoteTargetError(f"{url.host} is not this machine; load on others needs remote=True (--remote)")
    label = server.configuration.label if server else str(url.copy_with(path="", query=None))
    return Target(server, label, path, url, family, address)


def on_this_machine(host: str) -> bool:
    """Return whether an IP address is a loopback address or one of this machine's own."""
    host = host.partition("%")[0]
    address = ipaddress.ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_unspecified:
        return True
    own = (address.address for addresses in psutil.net_if_addrs().values() for address in addresses)
    return host in {address.partition("%")[0] for address in own}


def _url(target: Server | str, path: str) -> httpx.URL:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"path={path!r}: expected a path that begins with a slash, such as /sync/page/")
    if isinstance(target, Server):
        base = target.url
    elif isinstance(target, str):
        base = target.rstrip("/")
    else:
        raise ConfigurationError(f"measure() takes a server of serve() or an address, not {target!r}")
    try:
        url = httpx.URL(base + path)
    except (httpx.InvalidURL, UnicodeError) as problem:
        raise ConfigurationError(f"{(base + path)[:200]!r} is not an address: {problem}") from None
    if url.userinfo:
        raise ConfigurationError("an address with a user name in it is not supported: the load sends no credentials")
    return url
