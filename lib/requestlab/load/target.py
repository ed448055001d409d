"""What is asked, and where: a server of the lab or any address on this machine, resolved once."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, replace
from typing import Any

import httpx
import psutil

from requestlab.errors import ConfigurationError, RemoteTargetError
from requestlab.load.listeners import listeners
from requestlab.load.loads import AnyLoad, Misbehaving
from requestlab.load.mix import Ask, Mix
from requestlab.serving.server import Server
from requestlab.system import checks, machine
from requestlab.system.machine import Cores, Machine


@dataclass(frozen=True, eq=False)
class Target:
    """What is asked at an address: `asks`, of which `path` tells; `server` is None where that is not one of the lab's.
    `pids` are the worker processes there and `cores` where they and the load run; `machine` has their versions. None,
    where they cannot be seen. `base` stands before each path at that address."""

    server: Server | None
    label: str
    path: str
    url: httpx.URL
    family: int
    address: tuple[Any, ...]
    pids: tuple[int, ...]
    cores: Cores
    machine: Machine
    asks: tuple[Ask, ...]
    order: tuple[int, ...]
    base: str

    def requests(self, load: AnyLoad) -> tuple[str, ...]:
        """Return what such a load sends for each of `asks`, in latin-1, without the body of a slow sender."""
        if not isinstance(load, Misbehaving):
            more = dict(load.headers) | ({} if load.keep_alive else {"connection": "close"})
            return tuple(self._request(ask, more) for ask in self.asks)
        first = self.asks[0]
        if load.way == "slow body":
            return (self._request(replace(first, method="POST"), {"content-length": str(load.size)}),)
        bare = self._request(first, {})
        if load.way == "slow head":
            filler = "." * max(0, load.size - len(bare) - len("x-filler: \r\n"))
            return (self._request(first, {"x-filler": filler}),)
        return (bare,)

    def _request(self, ask: Ask, more: dict[str, str]) -> str:
        headers = httpx.Headers({"user-agent": "requestlab", "accept": "*/*"})
        if self.server:
            headers.update(self.server.configuration.application.headers)
            headers.update(self.server.headers)
        headers.update(dict(ask.headers))
        headers.update(more)
        url, body = self.url.join(self.base + ask.path), ask.body.encode() or None
        return encode(httpx.Request(ask.method, url, headers=headers, content=body)).decode("latin-1")


def find_target(target: Server | str, path: str | Mix, remote: bool = False) -> Target:
    """Return where `target` and `path`, or the first request of a mix, lead.

    Raises ConfigurationError for what is no address, RemoteTargetError for one on another machine unless `remote`, and
    ServerGoneError for a server that has ended.
    """
    server = target if isinstance(target, Server) else None
    if server is not None:
        server.check()
    asked = path if isinstance(path, Mix) else Mix((Ask(path),))
    url, path = _url(target, asked.asks[0].path), str(path)
    what = asked.asks, asked.order(), url.path.removesuffix(httpx.URL(asked.asks[0].path).path)
    family, address = resolve(url)
    if not remote and not on_this_machine(address[0]):
        raise RemoteTargetError(f"{url.host} is not this machine; load on others needs remote=True (--remote)")
    if server is not None:
        label = server.configuration.label
        return Target(server, label, path, url, family, address, server.pids, server.cores, server.machine, *what)
    label, split = str(url.copy_with(path="", query=None)), machine.split_cores()
    if not on_this_machine(address[0]):
        return Target(None, label, path, url, family, address, (), split, machine.unknown(), *what)
    there = listeners(address[1])
    cores = Cores(there.cores or split.server, split.generator)
    return Target(None, label, path, url, family, address, there.pids, cores, there.machine, *what)


def encode(request: httpx.Request) -> bytes:
    """Return the request as HTTP/1.1 bytes; its body must have been read."""
    head = [b"%s %s HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)]
    head += [b"%s: %s\r\n" % header for header in request.headers.raw]
    return b"".join([*head, b"\r\n", request.content])


def resolve(url: httpx.URL) -> tuple[int, tuple[Any, ...]]:
    """Return the family and the address of a socket for this URL, or raise ConfigurationError.

    Where the name has several addresses, as `localhost` may, it is the first that accepts a connection.
    """
    port = 80 if url.port is None else url.port
    if url.scheme != "http" or not url.host or not 0 < port < 65_536:
        raise ConfigurationError(f"{str(url)!r}: expected an address such as http://127.0.0.1:8000/ (plain HTTP only)")
    try:
        found = socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise ConfigurationError(f"{str(url)[:200]!r}: the host {url.host!r} cannot be found ({problem})") from None
    candidates = [(family, address) for family, _, _, _, address in found]
    if len(candidates) == 1:
        return candidates[0]
    return next((candidate for candidate in candidates if _accepts(*candidate)), candidates[0])


def on_this_machine(host: str) -> bool:
    """Return whether an IP address is a loopback address or one of this machine's own."""
    if is_loopback(host):
        return True
    host = host.partition("%")[0]
    own = (address.address for addresses in psutil.net_if_addrs().values() for address in addresses)
    return host in {address.partition("%")[0] for address in own}


def is_loopback(host: str) -> bool:
    """Return whether an IP address leads to whatever machine asks for it."""
    address = ipaddress.ip_address(host.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _accepts(family: int, address: tuple[Any, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.settimeout(1.0)
        return attempt.connect_ex(address) == 0


def _url(target: Server | str, path: str) -> httpx.URL:
    checks.text("path", path, "a path that begins with a slash, such as /sync/page/", begins="/")
    if isinstance(target, Server):
        base = target.url
    elif isinstance(target, str):
        base = target.rstrip("/")
    else:
        raise ConfigurationError(f"measure() takes a server of serve() or an address, not {checks.shown(target)}")
    try:
        url = httpx.URL(base + path)
    except (httpx.InvalidURL, UnicodeError) as problem:
        raise ConfigurationError(f"{(base + path)[:200]!r} is not an address: {problem}") from None
    if url.userinfo:
        raise ConfigurationError("an address with a user name in it is not supported: the load sends no credentials")
    return url
