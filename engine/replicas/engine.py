"""ENGINE=remote with ENGINE_URLS: an engine that is several, on other machines or other GPUs."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import structlog

from engine.first_sound import FirstSound
from engine.link.link import LinkLost
from engine.link.messages import Hello
from engine.replicas.address import Address
from engine.replicas.choice import better_of_two
from engine.replicas.listing import Listing
from engine.replicas.replica import Replica
from engine.replicas.rest import Rest
from engine.replicas.tls import client_context
from engine.replicas.words import Words
from engine.speech import (
    CannotClone,
    Engine,
    EngineBusy,
    EngineNotReady,
    Pcm,
    SpeechError,
    Style,
    UnknownVoice,
    UnspeakableText,
    Voice,
)
from engine.status import EngineStatus

log = structlog.get_logger(__name__)

START_S: Final = 10.0
"""How long the start waits for the first replica, which may be starting too."""
ALL_S: Final = 0.5
"""How long it waits for the others then."""
AGAIN_S: Final = 2.0
"""How long a sentence that was cut off waits for any replica. A caller would rather hear a pause than an apology."""
AGAIN_LOOK_S: Final = (0.05, 0.15)
"""How often it looks meanwhile whether one is there. That is left to chance, so that hundreds of sentences neither look
nor go on in the same moment."""
LOOK_S: Final = 0.02
"""How often it is looked at the start whether one is there."""
MAX_READINGS: Final = 8
"""A sentence that has cost so many replicas their lives, or has found no place so often, is not tried once more."""
RETRY_AFTER_S: Final = 1
LISTENERS: Final = 16_384
"""So many listeners are remembered with their replica, those who were spoken to last."""

_NOT_MET: Final = Hello("remote", 24_000, (), {"": ""}, takes_any_voice=True)
"""What is known before any replica was reached: which voices they have will be seen."""
_SEAMS: Final = ThreadPoolExecutor(1, "seams")
"""One thread: several would keep the interpreter from the event loop."""


class ReplicasEngine(Engine):
    """Has each listener spoken to by one replica, the better of two when it is first spoken to.

    Where that one is lost, fails or is about to end, another goes on: in the middle of a sentence from where the sound
    was cut off. Voices of recordings are not imitated over a link.
    """

    name = "remote"
    sample_rate_hz = 24_000

    def __init__(
        self,
        addresses: Sequence[Address],
        token: str = "",
        ca: Path | None = None,
        *,
        listed_at: str = "",
        start_s: float = START_S,
        chance: Random | None = None,
    ) -> None:
        """`ca` has what the certificates are checked by of those that are reached over TLS; None: the system's.

        `listed_at` is a URL where addresses are read, again and again, beside those given.
        """
        self._token = token
        self._replicas = [Replica(address, token, self.sample_rate_hz) for address in addresses]
        self._listing = Listing(listed_at, self._learn) if listed_at else None
        self._hello: Hello | None = None
        """What the first one was that was ever reached."""
        self._tls: ssl.SSLContext | None = None
        self._ca = ca
        self._start_s = start_s
        self._chance = chance or Random()
        self._homes: OrderedDict[str, Replica] = OrderedDict()
        self._moved = 0
        self._closed = False

    async def start(self) -> None:
        """Raises EngineNotReady where no replica can be reached, and goes on looking for them: it is started then.

        Raises SpeechError where one of them is of no use as the settings are, and none speaks.
        """
        if self._listing is not None or any(each.address.tls for each in self._replicas):
            self._tls = client_context(self._ca)
        for each in self._replicas:
            each.start(self._tls)
        if self._listing is not None:
            self._listing.start()
        try:
            async with asyncio.timeout(self._start_s):
                await self._first()
        except TimeoutError:
            trouble = self._trouble()
            if any(each.refused for each in self._replicas):
                await self.close()
                raise SpeechError(trouble) from None
            raise EngineNotReady(trouble, RETRY_AFTER_S) from None

    def _trouble(self) -> str:
        """Returns why there is no replica, and which setting says where they are."""
        troubles = [f"{each.address}: {each.trouble}" for each in self._replicas]
        if self._listing is None:
            return f"ENGINE_URLS: no replica answers: {'; '.join(troubles)}"
        troubles[:0] = [self._listing.trouble] if self._listing.trouble else []
        return f"ENGINE_URLS_FROM: no replica answers: {'; '.join(troubles) or 'none is listed'}"

    async def close(self) -> None:
        self._closed = True
        if self._listing is not None:
            await self._listing.close()
        await asyncio.gather(*(each.close() for each in self._replicas))

    @property
    def first_sentence_chars(self) -> int | None:  # type: ignore[override]
        """As short as any replica wants the first piece of a sentence."""
        wanted = [hello.first_sentence_chars for hello in self._hellos()]
        return min((each for each in wanted if each is not None), default=None)

    @property
    def takes_ipa(self) -> bool:  # type: ignore[override]
        """Whether every replica does: a sentence may go to any, and go on with another."""
        return all(hello.takes_ipa for hello in self._hellos())

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        if style.reference is not None:
            raise CannotClone(self.name)
        # What two replicas have made is compared and joined, and not all of them may make it at another rate.
        style = replace(style, sample_rate_hz=None)
        words = Words(style.on_word_starts)
        if style.on_word_starts is not None:
            style = replace(style, on_word_starts=words.tell)
        heard: list[Pcm] = []
        rest: Rest | None = None
        tried: set[Replica] = set()
        failed: set[Replica] = set()  # those of them that would not do better in a moment
        failure: SpeechError = EngineNotReady("no replica answers", RETRY_AFTER_S)
        for _ in range(MAX_READINGS):
            replica = self._chosen(style.listener, tried)
            if replica is None and heard:
                replica = await self._again(style.listener, failed)
            if replica is None:
                break
            try:
                sound = FirstSound(sentence, self.sample_rate_hz)
                async with aclosing(replica.stream(sentence, sound.style(style))) as pieces:
                    async for made in pieces:
                        for pcm in sound.take(made):
                            if rest is not None:
                                pcm = await _following(rest, pcm)
                            if pcm.size:
                                heard.append(pcm)
                                yield pcm
                sound.end()
                if rest is not None and (pcm := await _joined(rest)).size:
                    yield pcm
                return
            except (UnknownVoice, UnspeakableText, CannotClone):
                raise
            except SpeechError as error:
                failure = error
                if not isinstance(error, LinkLost):  # it may be there again in a moment
                    tried.add(replica)
                if not isinstance(error, LinkLost | EngineBusy):  # that a link is lost is told once
                    failed.add(replica)
                    log.warning("a replica failed a sentence", replica=str(replica.address), error=str(error))
            if heard:
                so_far = np.concatenate(heard)
                rest = Rest(so_far, self.sample_rate_hz)
                style = replace(style, heard_s=so_far.size / self.sample_rate_hz)
                self._moved += not isinstance(failure, EngineBusy)
            words.begin_again()
        if heard:  # it is no more one that was refused, and may be asked for once more
            raise SpeechError(f"a sentence was cut off: {failure}")
        raise failure

    def check_room(self) -> None:
        candidates = [each.candidate() for each in self._replicas if each.up]
        if candidates and all(each.full for each in candidates):
            raise EngineBusy(f"all places of {len(candidates)} replicas are taken")

    def voices(self) -> Sequence[Voice]:
        return self._known.voices

    def resolve_voice(self, name: str) -> str:
        return self._known.resolve_voice(name)

    def deterministic(self, style: Style) -> bool:
        return self._known.deterministic or style.seed is not None or style.temperature == 0

    def status(self) -> EngineStatus:
        told = [each.told() for each in self._replicas]
        up = [each for each in self._replicas if each.up]
        places = [each.candidate().places for each in up]
        return EngineStatus(
            self.name,
            next((each.model_id for each in up), ""),
            model_loaded=bool(up),
            queue_depth=sum(each.candidate().sentences for each in up),
            warnings=(
                *((self._listing.trouble,) if self._listing is not None and self._listing.trouble else ()),
                *(("no replica is listed",) if not self._replicas else ()),
                *(f"{one['replica']}: {one['trouble']}" for one in told if "trouble" in one),
                *(
                    f"{each.address}: its engine or its voices differ from the first one's"
                    for each in self._strange(up)
                ),
            ),
            ready=bool(up),
            capacity=sum(known) if len(known := [each for each in places if each is not None]) == len(up) > 0 else None,
            details={"replicas": told, "sentences_moved": self._moved},
        )

    @property
    def _known(self) -> Hello:
        """What the first replica is of those that were reached: they are to be alike."""
        self._hello = next((each.hello for each in self._replicas if each.hello is not None), self._hello)
        return self._hello or _NOT_MET

    def _hellos(self) -> list[Hello]:
        """Returns what those are that speak; where none does, what they were."""
        return [each.hello for each in self._replicas if each.up and each.hello is not None] or [self._known]

    def _learn(self, addresses: Sequence[Address]) -> None:
        """Takes the addresses that are listed now. A replica that is not, and is not reached either, is forgotten.

        One that is reached stays: it tells by itself when it ends, and what lists it may have been started anew.
        """
        if self._closed:
            return
        gone = [each for each in self._replicas if each.address not in addresses and not each.linked]
        if any(each.hello is not None for each in gone):
            self._hello = self._known
        for each in gone:
            each.stop()
        known = {each.address for each in self._replicas}
        come = [Replica(each, self._token, self.sample_rate_hz) for each in addresses if each not in known]
        for each in come:
            each.start(self._tls)
        self._replicas = [each for each in self._replicas if each not in gone] + come

    def _strange(self, up: Sequence[Replica]) -> list[Replica]:
        """Returns those that are not what the engine is taken for: their calls may ask for what they do not know."""
        return [each for each in up if each.hello != self._known]

    async def _first(self) -> None:
        """Waits until a replica is up, and for a moment for all others."""
        while not self._replicas:  # noqa: ASYNC110 - the list that is read makes one be there
            await asyncio.sleep(LOOK_S)
        waiting = [asyncio.ensure_future(each.tried.wait()) for each in self._replicas]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(waiting, timeout=ALL_S)
        for each in waiting:
            each.cancel()
        while not any(each.up for each in self._replicas):  # noqa: ASYNC110 - a link and its news make one be up
            await asyncio.sleep(LOOK_S)

    async def _again(self, listener: str, failed: set[Replica]) -> Replica | None:
        """Waits for a replica that was lost to be there again, or for a place: somebody hears half a sentence."""
        clock = asyncio.get_running_loop().time
        give_up_s = clock() + AGAIN_S
        while not self._closed and clock() < give_up_s and not failed.issuperset(self._replicas):
            await asyncio.sleep(self._chance.uniform(*AGAIN_LOOK_S))
            if (replica := self._chosen(listener, failed)) is not None:
                return replica
        return None

    def _chosen(self, listener: str, tried: set[Replica]) -> Replica | None:
        """Returns the replica that speaks to a listener now, None where there is none but those that were tried."""
        able = [each for each in self._replicas if each.up and each not in tried]
        able = [each for each in able if not each.draining] or able
        home = self._homes.get(listener)
        if home is None or home not in able:
            best = better_of_two([each.candidate() for each in able], self._chance)
            if best is None:
                return None
            home = best.key
        if listener:
            self._homes[listener] = home
            self._homes.move_to_end(listener)
            if len(self._homes) > LISTENERS:
                self._homes.popitem(last=False)
        return home


async def _following(rest: Rest, pcm: Pcm) -> Pcm:
    """Returns what of a second reading's next piece, and of those before, follows on what was heard."""
    pcm = rest.add(pcm)
    return await _joined(rest) if rest.due else pcm


async def _joined(rest: Rest) -> Pcm:
    return await asyncio.get_running_loop().run_in_executor(_SEAMS, rest.join)
