"""Reads an administrator's YAML file into a model, or says in one line what is wrong and where."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path, model: type[Model]) -> Model:
    """Returns the file as `model`; an empty file counts as an empty mapping. Raises ValueError with one line."""
    try:
        return model.model_validate(yaml.safe_load(path.read_text("utf-8")) or {})
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except RecursionError:
        raise ValueError(f"{path}: it is nested too deeply") from None
    except ValidationError as error:  # is a ValueError too
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}." for part in first["loc"]).rstrip(".")
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {where}: {reason}" if where else f"{path}: {reason}") from None
    except (yaml.YAMLError, ValueError) as error:  # a ValueError is of a number or date that Python cannot have
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
