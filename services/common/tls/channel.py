"""Channels to other services: TLS with the files of the process, and a new connection when these were renewed.

gRPC's client credentials are fixed for the life of a channel, and a connection ends once an hour. So the channel is
replaced when the files change: calls under way end on the old one, which is closed when the longest of them must be
over.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import grpc

from services.common.tls.certificates import CertificateFiles
from services.common.tls.plain_text import check_plain_text
from services.common.tls.settings import TlsSettings

KEPT_S = 1200.0  # longer than the longest call
Options = Sequence[tuple[str, Any]]


def open_channel(target: str, *, options: Options) -> grpc.Channel:
    """A channel with the TLS of the environment. Raises InvalidInput, also when a token would travel in plain text."""
    files = TlsSettings().client()
    if files is None:
        check_plain_text(target, os.environ)
        return grpc.insecure_channel(target, options=options)
    return cast(grpc.Channel, RenewedChannel(files, lambda: _secure(grpc.secure_channel, target, files, options)))


def open_aio_channel(target: str, *, options: Options) -> grpc.aio.Channel:
    """The same for asyncio."""
    files = TlsSettings().client()
    if files is None:
        check_plain_text(target, os.environ)
        return grpc.aio.insecure_channel(target, options=options)
    return cast(
        grpc.aio.Channel, RenewedChannel(files, lambda: _secure(grpc.aio.secure_channel, target, files, options))
    )


def _secure(make: Any, target: str, files: CertificateFiles, options: Options) -> Any:
    now = files.current()
    return make(target, grpc.ssl_channel_credentials(now.ca, now.key, now.certificate), options=options)


class RenewedChannel:
    """What a stub needs of a channel, for either kind of gRPC. `make` opens one with the files as they are."""

    def __init__(
        self,
        files: CertificateFiles,
        make: Callable[[], Any],
        *,
        kept_s: float = KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files, self._make, self._kept_s, self._clock = files, make, kept_s, clock
        self._lock = threading.Lock()
        self._used = files.current()
        self._channel = make()
        self._old: list[tuple[float, Any]] = []  # until when, in seconds of the clock; oldest first

    def channel(self) -> Any:
        """The channel for a new call."""
        with self._lock:
            found = self._files.current()
            if found is not self._used:
                self._old.append((self._clock() + self._kept_s, self._channel))
                self._used, self._channel = found, self._make()
            over = [old for until_s, old in self._old if until_s <= self._clock()]
            self._old = self._old[len(over) :]
            now = self._channel
        for old in over:
            closing = old.close()
            if asyncio.iscoroutine(closing):
                _CLOSING.add(task := asyncio.get_running_loop().create_task(closing))
                task.add_done_callback(_CLOSING.discard)
        return now

    def unary_unary(self, *how: Any, **more: Any) -> Any:
        return _Method(self, lambda channel: channel.unary_unary(*how, **more))

    def unary_stream(self, *how: Any, **more: Any) -> Any:
        return _Method(self, lambda channel: channel.unary_stream(*how, **more))

    def stream_unary(self, *how: Any, **more: Any) -> Any:
        return _Method(self, lambda channel: channel.stream_unary(*how, **more))

    def stream_stream(self, *how: Any, **more: Any) -> Any:
        return _Method(self, lambda channel: channel.stream_stream(*how, **more))

    def close(self) -> Any:
        """Ends every call; for asyncio something to await."""
        with self._lock:
            channels, self._old = [old for _, old in self._old] + [self._channel], []
        closing = [one.close() for one in channels]
        return asyncio.gather(*closing) if asyncio.iscoroutine(closing[0]) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


_CLOSING: set["asyncio.Task[None]"] = set()


class _Method:
    """One method of a stub: made anew for each channel that comes."""

    def __init__(self, owner: RenewedChannel, of: Callable[[Any], Any]) -> None:
        self._owner, self._of = owner, of
        self._made: tuple[Any, Any] = (None, None)

    def _now(self) -> Any:
        channel = self._owner.channel()
        made_for, method = self._made
        if made_for is not channel:
            method = self._of(channel)
            self._made = (channel, method)
        return method

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._now()(*arguments, **options)

    def future(self, *arguments: Any, **options: Any) -> Any:
        return self._now().future(*arguments, **options)

    def with_call(self, *arguments: Any, **options: Any) -> Any:
        return self._now().with_call(*arguments, **options)
