"""Makes the language models that the settings name, and what asks them between turns."""

from __future__ import annotations

from bridge.brains.condenser import Condenser, CondenseRules
from bridge.brains.llm_client import make_llm_client
from bridge.brains.model import Model, ModelOptions
from bridge.brains.model_chain import ModelChain
from bridge.conversation.settings import ConversationSettings

_SENDS = {"auto": None, "true": True, "false": False}


def make_models(settings: ConversationSettings) -> ModelChain:
    """Returns the models in the order in which they are asked: the first and, if there is one, its stand-in.

    The effort and the extra fields are meant for the first model's server; another might refuse them.
    """
    first = ModelOptions(
        model=settings.llm_model,
        timeout_ms=settings.llm_timeout_ms,
        temperature=settings.llm_temperature,
        max_tokens=settings.llm_max_tokens,
        max_completion_tokens=settings.llm_max_completion_tokens,
        reasoning_effort=settings.llm_reasoning_effort,
        extra_body=settings.extra_body(),
        send_tools=_SENDS[settings.llm_send_tools],
        send_system=_SENDS[settings.llm_send_system],
    )
    models = [_model(settings.llm_base_url, settings.llm_api_key.get_secret_value(), first)]
    if settings.llm_fallback_base_url:
        second = ModelOptions(
            model=settings.llm_fallback_model,
            timeout_ms=settings.llm_timeout_ms,
            temperature=settings.llm_temperature,
            max_tokens=settings.llm_max_tokens,
            max_completion_tokens=settings.llm_max_completion_tokens,
        )
        models.append(_model(settings.llm_fallback_base_url, settings.llm_fallback_api_key.get_secret_value(), second))
    return ModelChain(models)


def make_condenser(models: ModelChain, settings: ConversationSettings) -> Condenser:
    """Returns what sums up the beginning of long calls, by the first model."""
    return Condenser(models.models[0], CondenseRules(settings.llm_condense_after, settings.llm_condense_keep))


def _model(base_url: str, api_key: str, options: ModelOptions) -> Model:
    return Model(make_llm_client(base_url, api_key or "none"), options)
