"""A YAML file whose mistakes are gathered, each with its line, until all of it has been read."""

from __future__ import annotations

from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Entries = dict[str, tuple[int, Node]]
"""The line of each key, and its value."""


class WrongFile(Exception):
    """The file has mistakes. The message has a line for each."""


class YamlFile:
    """Reads every value as the text that stands in the file: `no` and `0049` are what they look like."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: list[tuple[int, str]] = []
        """The mistakes so far, each with its line."""

    def root(self) -> Node:
        """Returns all of the file. Raises WrongFile if it is no YAML."""
        try:
            root = yaml.compose(self.path.read_text("utf-8"), yaml.SafeLoader)
        except OSError as error:
            raise WrongFile(f"{self.path}: {error.strerror}") from None
        except RecursionError:
            raise WrongFile(f"{self.path}: it is nested too deeply") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
            raise WrongFile(f"{self.path}:{line}: {error.problem or error.context}") from None
        except (yaml.YAMLError, ValueError) as error:
            raise WrongFile(f"{self.path}: {' '.join(str(error).split())}") from None
        return root or ScalarNode("", "")

    def entries(self, node: Node, where: str) -> Entries:
        """Returns the keys and values of a mapping; nothing of an empty one."""
        if isinstance(node, ScalarNode) and node.value in ("", "~", "null"):
            return {}
        if not isinstance(node, MappingNode):
            self.fault(_line(node), f"{where}: must be a mapping, as `name: value`")
            return {}
        entries: Entries = {}
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else "?"
            if name in entries:
                self.fault(_line(key), f"{where}: {name[:80]} stands here twice, first in line {entries[name][0]}")
            entries[name] = _line(key), value
        return entries

    def items(self, where: str, key: str, section: Entries) -> list[tuple[int, str]]:
        """Returns the line and the text of each item of a list, which may be one item alone."""
        if key not in section:
            return []
        node = section[key][1]
        items = node.value if isinstance(node, SequenceNode) else [node]
        return [(_line(item), self.text(f"{where}.{key}", item)) for item in items]

    def text(self, where: str, node: Node) -> str:
        """Returns a text, or a number or the like as a text."""
        if isinstance(node, ScalarNode):
            return "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)
        self.fault(_line(node), f"{where}: must be a text or a number")
        return ""

    def fault(self, line: int, fault: str) -> None:
        """Notes a mistake."""
        self.faults.append((line, fault))

    def report(self) -> str:
        """Returns the mistakes, a line for each, in the order of the file."""
        return "\n".join(dict.fromkeys(f"{self.path}:{line}: {fault}" for line, fault in sorted(self.faults)))


def _line(node: Node) -> int:
    return 1 if node.start_mark is None else int(node.start_mark.line) + 1
