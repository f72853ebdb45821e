"""A language model that plays a caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from openai import AsyncOpenAI

PROMPT: Final = (
    "You are calling somebody on the telephone. This is what you want: {want}\n"
    "The messages are what the other side says. Answer with the words that you say next, one short spoken sentence and "
    "nothing else. When you have what you want, or will not get it, answer with HANG UP alone."
)
GOODBYE: Final = "HANG UP"


class NoWords(Exception):
    """The model has not answered. The text says why."""


class CallerModel:
    """A model behind an OpenAI-compatible chat API."""

    def __init__(self, base_url: str, model: str, api_key: str = "") -> None:
        from bridge.brains.llm_client import make_llm_client

        self._client = make_llm_client(base_url, api_key or "none")
        self._model = model

    def talk(self, want: str) -> CallerTalk:
        """Returns the caller's side of one call."""
        return CallerTalk(self._client, self._model, want)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()


class CallerTalk:
    """One call's caller."""

    def __init__(self, client: AsyncOpenAI, model: str, want: str) -> None:
        self._client = client
        self._model = model
        self._messages: list[Any] = [{"role": "system", "content": PROMPT.format(want=want)}]

    async def answer(self, heard: str) -> str:
        """Returns what the caller says to what it heard; an empty text if it hangs up. Raises NoWords."""
        from openai import APIError

        self._messages.append({"role": "user", "content": heard or "(nothing)"})
        said = ""
        try:
            stream = await self._client.chat.completions.create(model=self._model, messages=self._messages, stream=True)
            async for chunk in stream:
                said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        except APIError as error:
            raise NoWords(f"the caller's language model fails: {error}") from None
        said = said.strip()
        self._messages.append({"role": "assistant", "content": said})
        return "" if GOODBYE in said.upper() else said
