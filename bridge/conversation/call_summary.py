"""After a call, the language model sums it up: for the web-hook, and by e-mail through the system's sendmail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Final

import structlog

from bridge.background import CLOSE_S, BackgroundTasks
from bridge.brains.brain import BrainError
from bridge.hearing.events import out
from bridge.journal.privacy import Privacy

if TYPE_CHECKING:
    from bridge.brains.model_chain import ModelChain

log = structlog.get_logger(__name__)

MAX_TRANSCRIPT_CHARS: Final = 20_000
"""How much of a transcript the model is shown: its end, where a call is settled."""
MAX_SUMMARY_CHARS: Final = 4_000
SUMMARY_S: Final = 60.0
"""How long the model may take; nobody waits for it."""
MAIL_S: Final = 30.0
MAX_AT_ONCE: Final = 2
"""How many calls are summed up at once: callers who are talking come first."""
MAX_WAITING: Final = 500
"""How many calls may wait for that; of a call beyond them there is no summary."""


@dataclass(frozen=True, slots=True)
class SummaryOptions:
    """What is asked of the model, and who is written to."""

    prompt: str
    mail_to: str = ""
    """An address; empty for no mail."""
    sendmail: str = "/usr/sbin/sendmail"


class CallSummaries:
    """Sums up calls that have ended, each in a task of its own."""

    def __init__(
        self,
        models: ModelChain,
        options: SummaryOptions,
        tell: Callable[[dict[str, Any]], None],
        privacy: Privacy | None = None,
    ) -> None:
        """`tell` is given the event `call.summary`; what is mailed is what `privacy` keeps."""
        self._privacy = privacy or Privacy()
        self._models = models
        self._options = options
        self._tell = tell
        self._room = asyncio.Semaphore(MAX_AT_ONCE)
        self._tasks = BackgroundTasks()

    def ended(self, call_id: str, variables: dict[str, str], transcript: list[dict[str, Any]]) -> None:
        """Sums up a call, unless nobody has said anything."""
        if not any(entry["who"] == "user" for entry in transcript):
            return
        if len(self._tasks) >= MAX_WAITING:
            log.error("a call is not summed up: too many are waiting", call=call_id)
            return
        self._tasks.start(self._sum_up(call_id, variables, transcript))

    async def close(self, timeout_s: float = CLOSE_S) -> None:
        """Waits up to `timeout_s` for the summaries at work, then gives them up."""
        await self._tasks.close(timeout_s)

    async def _sum_up(self, call_id: str, variables: dict[str, str], transcript: list[dict[str, Any]]) -> None:
        async with self._room:
            try:
                async with asyncio.timeout(SUMMARY_S):
                    summary = await self._ask(transcript)
            except (BrainError, TimeoutError) as error:
                log.warning("a call is not summed up", call=call_id, problem=str(error) or "the model took too long")
                return
            self._tell(out("call.summary", call_id, summary=summary, variables=variables))
            if self._options.mail_to:
                told = {"summary": summary, "variables": variables, "transcript": transcript}
                await self._mail(call_id, mail(self._options.mail_to, call_id, **self._privacy.kept(told)))

    async def _ask(self, transcript: list[dict[str, Any]]) -> str:
        messages = [
            {"role": "system", "content": self._options.prompt},
            {"role": "user", "content": "\n".join(written(transcript))[-MAX_TRANSCRIPT_CHARS:]},
        ]
        text = ""
        async with aclosing(self._models.answer(messages, [])) as parts:
            async for part in parts:
                text += part if isinstance(part, str) else ""
                if len(text) > MAX_SUMMARY_CHARS:
                    break
        return text[:MAX_SUMMARY_CHARS].strip()

    async def _mail(self, call_id: str, message: EmailMessage) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *(self._options.sendmail, "-i", "-t"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            log.error("a summary is not mailed", call=call_id, problem=f"{self._options.sendmail}: {error.strerror}")
            return
        try:
            async with asyncio.timeout(MAIL_S):
                _, complaint = await process.communicate(message.as_bytes())
        except TimeoutError:
            process.kill()
            await process.wait()
            log.error("a summary is not mailed", call=call_id, problem=f"sendmail took longer than {MAIL_S:.0f} s")
            return
        if process.returncode:
            problem = complaint.decode(errors="replace").strip()[:200] or f"sendmail ended with {process.returncode}"
            log.error("a summary is not mailed", call=call_id, problem=problem)


def written(transcript: Iterable[dict[str, Any]]) -> list[str]:
    """Returns a transcript as lines, such as `Caller: I would like a table.`"""
    names = {"user": "Caller", "agent": "Agent"}
    return [f"{names[entry['who']]}: {' '.join(entry['text'].split())}" for entry in transcript]


def mail(
    to: str, call_id: str, summary: str, variables: dict[str, str], transcript: list[dict[str, Any]]
) -> EmailMessage:
    """Returns the mail about one call: its summary, and under it what was said."""
    number, name = variables.get("from", ""), variables.get("name", "")
    caller = f"{name} ({number})" if name and number and name != number else number or name or "an unknown number"
    message = EmailMessage()
    message["To"] = to
    message["Subject"] = f"Call from {caller}"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join([summary, "", "--", f"Call {call_id}", "", *written(transcript), ""]))
    return message
