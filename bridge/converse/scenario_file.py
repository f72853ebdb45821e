"""Reads scenarios from YAML files, one for each document of a file, and says what is wrong with one and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bridge.converse.scenario import Scenario

SUFFIXES: Final = (".yaml", ".yml")


class BadScenario(ValueError):
    """A file holds no scenario. The text names the file, the line and what is allowed."""


def load_scenarios(paths: Iterable[Path]) -> list[Scenario]:
    """Returns the scenarios of all files; a folder stands for the YAML files in it. Raises BadScenario."""
    scenarios: list[Scenario] = []
    for path in paths:
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]
        if not files:
            raise BadScenario(f"{path}: there is no file that ends in {' or '.join(SUFFIXES)}")
        for file in files:
            scenarios += read_scenarios(file)
    names = [scenario.name for scenario in scenarios]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadScenario(f"two scenarios are named {twice[0]!r}; give one of them another name")
    return scenarios


def read_scenarios(path: Path) -> list[Scenario]:
    """Returns the scenarios of one file. Raises BadScenario."""
    try:
        text = path.read_text("utf-8")
        nodes = [node for node in yaml.compose_all(text, yaml.SafeLoader) if node is not None]
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except OSError as error:
        raise BadScenario(f"{path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadScenario(f"{path}{line}: this is not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadScenario(f"{path}: this is not YAML: {error}") from None
    if not documents:
        raise BadScenario(f"{path}: the file is empty; a scenario needs at least a list named caller")
    scenarios = [_scenario(path, node, document) for node, document in zip(nodes, documents, strict=True)]
    for scenario, node in zip(scenarios, nodes, strict=True):
        if not scenario.name:
            if len(scenarios) > 1:
                raise BadScenario(f"{path}:{_line(node)}: each of several scenarios in a file needs a name")
            scenario.name = path.stem
        if scenario.script is not None:
            scenario.script = (path.parent / scenario.script).resolve()
    return scenarios


def _scenario(path: Path, node: yaml.Node, document: Any) -> Scenario:
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        first = next(
            (one for one in errors if one["type"] == "extra_forbidden"), errors[0]
        )  # a misspelt name is missing
        where = first["loc"]
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            reason = f"there is no such name; there are {', '.join(_names(Scenario, where[:-1]))}"
        named = ".".join(str(part) for part in where)
        raise BadScenario(f"{path}:{_line(node, where)}: {named + ': ' if named else ''}{reason}") from None


def _line(node: yaml.Node, where: Sequence[int | str] = ()) -> int:
    """Returns the line, counted from 1, of the innermost node on the way to `where` that is in the file."""
    line = node.start_mark.line + 1
    for part in where:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, found = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line + 1
        if found is None:
            break
        node = found
    return line


def _names(model: type[BaseModel], where: Sequence[int | str]) -> list[str]:
    """Returns the names that the part of a scenario at `where` may have."""
    for part in where:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Returns the model within an annotation as `list[Step]` or `Noise | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)
