"""The YAML of agents, lexicon and tools: read, or all that is wrong is told, each mistake with its line."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import chosen

with instrumented(__name__, "bridge.conversation.agents", "bridge.brains.yaml_file", "bridge.brains.tools"):
    from bridge.brains.tools import load_tool_servers, load_tools
    from bridge.conversation.agents.agents_file import load_agents
    from bridge.conversation.agents.lexicon_file import load_lexicon
    from bridge.conversation.agents.yaml_file import WrongFile
    from bridge.conversation.settings import ConversationSettings

AGENTS, LEXICON, TOOLS, SERVERS = range(4)
SEEDS: Final = (
    b"""\x00sales:
  default: true
  description: sells
  numbers: [200, _1XX.]
  voice: one
  greeting: Hello.
  no_input_prompt: [Hello?, Still there?]
  transfer_allow: ["sales = 201@from-internal", "_3XX@from-internal"]
  hands_over_to: support
  llm_base_url: http://localhost:1234/v1
  languages:
    de: {voice: two, greeting: Guten Tag.}
support:
  description: helps
  llm_base_url: http://localhost:1234/v1
  fixed_keys: "0=agent:sales"
  echo_text: no
""",
    """\x01any: {SQL: sequel, Worcester: /ˈwʊstər/}
en: {gif: /dʒɪf/ jiff}
agents:
  sales: {de: {Wien: Vienna}}
""".encode(),
    b"""\x02tools:
  - name: book
    description: books
    url: https://${HOST}/{id}
    method: GET
    headers: {X-Key: "${KEY}"}
    parameters: {type: object, properties: {day: {type: string}}}
    hosts: [localhost]
    say: One moment.
""",
    b"""\x03mcp:
  files: {url: http://localhost/mcp, tools: {read: {timeout_ms: 5}}}
  own: {command: [x], env: {A: b}}
""",
)
_FOLDER: Final = TemporaryDirectory()
_FILE: Final = Path(_FOLDER.name) / "file.yaml"
_SETTINGS: Final = ConversationSettings(agents=_FILE)


def check(data: bytes) -> None:
    kind, text = chosen(data)
    _FILE.write_bytes(text)
    try:
        match kind % 4:
            case 0:
                agents = load_agents(_SETTINGS)
                assert agents.default.name in agents.by_name
            case 1:
                list(load_lexicon(_FILE).find("SQL and gif in Worcester", "en"))
            case 2:
                assert all(tool.name for tool in load_tools(_FILE))
            case _:
                load_tool_servers(_FILE)
    except WrongFile as error:
        for line in str(error).split(f"{_FILE}"):
            assert not line.strip() or line.startswith(":")
    except ValueError as error:
        assert str(error).startswith(str(_FILE))
        assert "\n" not in str(error)


if __name__ == "__main__":
    fuzz(check, SEEDS)
