"""The HTTP client for a language model."""

from __future__ import annotations

from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from bridge.brains.bounded_http import IDENTITY, bounded


def make_llm_client(base_url: str, api_key: str) -> AsyncOpenAI:
    """Returns a client that keeps nothing between calls, and takes key and conversation to `base_url` alone.

    It asks once: whether a question is asked again is for those to say who know what was said meanwhile.
    """
    http = DefaultAsyncHttpxClient(headers=IDENTITY, **bounded())
    return AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0, http_client=http)
