"""The tool file, what it may hold, and errors that say where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.brains.tools import load_tools


def test_a_tool_file(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(
        """
tools:
  - name: opening_hours
    description: When the shop is open.
    method: GET
    url: https://shop.example/hours
    headers: {Authorization: "Bearer ${SHOP_KEY}"}
    parameters: {type: object, properties: {day: {type: string}}, required: [day]}
"""
    )
    (tool,) = load_tools(path)
    assert tool.method == "GET"
    assert tool.parameters["required"] == ["day"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tools: [{name: x}]", "tools.0.description"),
        ("tools: [{name: transfer, description: d, url: 'http://x'}]", "'transfer' is taken"),
        ("tools: [{name: 'a b', description: d, url: 'http://x'}]", "tools.0.name"),
        ("tools: [{name: a, description: d, url: 'file:///etc/passwd'}]", "tools.0.url"),
        ("tols: []", "tols"),
        ("tools: {", "while parsing"),
    ],
)
def test_a_wrong_tool_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_tools(path)


def test_a_missing_tool_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        load_tools(tmp_path / "none.yaml")
