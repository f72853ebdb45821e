"""Chat templates that insist on something, written anew from the published rules of the models' own."""

from __future__ import annotations

from typing import Any

import jinja2
import jinja2.sandbox

_ALTERNATE = """
{%- set ns = namespace(turn=0) %}
{%- for m in rest %}
  {%- if not (m.role == 'tool' or m.tool_calls) %}
    {%- if (m.role == 'user') != (ns.turn % 2 == 0) %}
      {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- set ns.turn = ns.turn + 1 %}
  {%- endif %}
{%- endfor %}
"""
_SYSTEM_FIRST = """
{%- set rest = messages[1:] if messages[0].role == 'system' else messages %}
{%- for m in rest if m.role == 'system' %}{{- raise_exception('System message must be at the beginning.') }}{% endfor %}
{%- if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}
"""
_PLAIN = """
{%- for m in rest %}
  {%- if m.role not in ('user', 'assistant') %}
    {{- raise_exception('Only user and assistant roles are supported!') }}
  {%- endif %}
  {{- '<' + m.role + '>' + m.content | trim + '\n' }}
{%- endfor %}
"""
_LAST_IS_ASKED = """
{%- if messages[-1].role not in ('user', 'tool') %}
  {{- raise_exception('Expected the last message to be user or tool') }}
{%- endif %}
"""

TEMPLATES = {
    # https://huggingface.co/google/gemma-2-9b-it: no system role, strictly in turn, no tools
    "gemma-2": """
{%- if messages[0].role == 'system' %}{{- raise_exception('System role not supported') }}{% endif %}
{%- set rest = messages %}"""
    + _ALTERNATE
    + _PLAIN,
    # gemma-3: the system prompt stands in the first message
    "gemma-3": _SYSTEM_FIRST + _ALTERNATE + _PLAIN,
    # Llama 2's descendants: a first message of the system is out of turn
    "llama-2": "{%- set rest = messages %}" + _ALTERNATE + _PLAIN,
    # Mistral-7B-Instruct-v0.3 and later: tools, whose ids have nine characters and whose results the agent speaks of
    "mistral": _SYSTEM_FIRST
    + _ALTERNATE
    + _LAST_IS_ASKED
    + """
{%- for m in rest %}
  {%- if loop.previtem and loop.previtem.role == 'tool' and m.role not in ('assistant', 'tool') %}
    {{- raise_exception('Unexpected role ' + m.role + ' after role tool') }}
  {%- endif %}
  {%- if m.tool_calls %}
    {%- for call in m.tool_calls %}{{ '[TOOL_CALLS]' + call.function.name + call.function.arguments }}{% endfor %}
  {%- else %}{{ '<' + m.role + '>' + m.content + '\n' }}{% endif %}
{%- endfor %}""",
    # Llama 3.1: one tool at a time
    "llama-3.1": _SYSTEM_FIRST
    + """
{%- for m in rest %}
  {%- if m.tool_calls %}
    {%- if m.tool_calls | length != 1 %}{{- raise_exception('This model only supports single tool-calls at once!') }}
    {%- endif %}
    {{- m.tool_calls[0].function.name }}
  {%- else %}{{ '<' + m.role + '>' + m.content | trim + '\n' }}{% endif %}
{%- endfor %}""",
    # Qwen 3.5: something must have been asked
    "qwen-3.5": _SYSTEM_FIRST
    + """
{%- if not rest | selectattr('role', 'equalto', 'user') | list %}
  {{- raise_exception('No user query found in messages.') }}
{%- endif %}
{%- for m in rest %}{{ '<' + m.role + '>' + (m.content or '') + '\n' }}{% endfor %}""",
}


def render(template: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
    """The prompt that a server makes of a request. Raises TemplateError where the model's template does."""

    def refuse(reason: str) -> None:
        raise jinja2.TemplateError(reason)

    if tools and template in ("gemma-2", "gemma-3", "llama-2"):
        raise jinja2.TemplateError("this model does not support tools")
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    return environment.from_string(TEMPLATES[template]).render(messages=messages)
