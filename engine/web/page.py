"""Makes the readable page at /docs out of the OpenAPI document; the page fetches nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from copy import deepcopy
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

Json = dict[str, Any]

HOST: Final = "http://localhost:8000"
PLAYGROUND: Final = files("engine.web") / "playground"
STYLE: Final = (PLAYGROUND / "style.css").read_text()
SCRIPT: Final = (PLAYGROUND / "script.js").read_text()
FORM: Final = Template((PLAYGROUND / "form.html").read_text())
PAGE: Final = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title><style>$style</style></head><body>
<h1>$title</h1><p>$version · <a href="/openapi.json">openapi.json</a></p><p>$description</p>
$form<nav>$contents</nav>$operations$socket$errors
<script>$script</script></body></html>
""")
SOCKET: Final = Template("""<h2 id="socket"><span class="method">WS</span> <code>/v1/audio/speech/ws</code></h2>
<p>Speak texts in turn on one connection. Messages are JSON with the fields of
<code>POST /v1/audio/speech</code>; the audio comes back as binary messages of mono PCM16, at
<code>sample_rate</code> or the rate in the handshake's <code>X-PCM-Sample-Rate</code>. Every request is answered by
one <code>done</code> or one <code>error</code>, and the connection lives on.</p>
<table><tr><th>you send</th><th>what it does</th></tr>$sent</table>
<table><tr><th>you receive</th><th>when</th></tr>$received</table>""")
SENT: Final = {
    '{"input": "Hello there.", "voice": "alloy"}': "speaks a text, after those asked for before it",
    '{"input_delta": "Hel", "voice": "alloy"}': "opens a text that is still being written, or goes on with it",
    '{"event": "flush"}': "ends the text that was open: what is left of it is spoken",
    '{"event": "cancel"}': "ends at once everything that was asked for",
}
RECEIVED: Final = {
    "binary": "PCM16, as soon as it is made",
    '{"event": "words", "words": […]}': "with timestamps: words, with start_time and end_time in seconds",
    '{"event": "done", "cancelled": false, "sample_rate": 24000, "voice": "…"}': "all of a request was sent",
    '{"event": "error", "detail": "…", "code": "…"}': "a request could not be served",
}


def render_page(document: Json, unnamed: Collection[str] = ()) -> tuple[str, str]:
    """Returns the page, and the Content-Security-Policy that lets it do no more than it does.

    The page does not name the voices in `unnamed`.
    """
    document = deepcopy(document)
    for model in document["components"]["schemas"].values():
        for names in _enums(model.get("properties", {}).get("voice", {})):
            names[:] = [name for name in names if name and name not in unnamed]
    request = document["components"]["schemas"]["SpeechRequest"]["properties"]
    formats = _enum(request["response_format"])
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    text = PAGE.substitute(
        title=escape(document["info"]["title"]),
        version=escape(document["info"]["version"]),
        description=_prose(document["info"]["description"]),
        style=STYLE,
        script=SCRIPT,
        form=FORM.substitute(
            voices="".join(f"<option>{escape(name)}" for name in _enum(request["voice"])),
            formats="".join(f"<option{' selected' * (name == 'pcm')}>{escape(name)}" for name in formats),
            key='<label>API key <input name="key" type="password"></label>' if "security" in document else "",
        ),
        contents="".join(
            f'<a href="#{_anchor(method, path)}"><code>{method} {escape(path)}</code></a>'
            for method, path, _ in [*operations, ("WS", "/v1/audio/speech/ws", {})]
        ),
        operations="".join(_operation(document, *operation) for operation in operations),
        socket=SOCKET.substitute(sent=_rows(SENT), received=_rows(RECEIVED)).replace(
            'id="socket"', f'id="{_anchor("WS", "/v1/audio/speech/ws")}"'
        ),
        errors="<h2>Errors</h2>" + _fields(document, document["components"]["schemas"]["ErrorBody"]),
    )
    policy = (
        f"default-src 'none'; style-src {_source(STYLE)}; script-src {_source(SCRIPT)}; connect-src 'self'; "
        "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


def _source(text: str) -> str:
    """Returns how a policy names this text alone."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _operation(document: Json, method: str, path: str, operation: Json) -> str:
    parts = [
        f'<h2 id="{_anchor(method, path)}"><span class="method">{method}</span> <code>{escape(path)}</code></h2>',
        f"<p>{_prose(operation['summary'])}. {_prose(operation.get('description', ''))}</p>",
    ]
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body: <code>{kind}</code></p>" + _fields(document, body["schema"]))
    answers = {
        status: answer["description"] + ": " + ", ".join(answer["content"])
        for status, answer in operation["responses"].items()
    }
    parts.append("<table><tr><th>status</th><th>answer</th></tr>" + _rows(answers) + "</table>")
    if method == "GET" or "x-curl" in operation:
        parts.append(f"<pre>{escape(' '.join(('curl', HOST + path, operation.get('x-curl', ''))).strip())}</pre>")
    return "".join(parts)


def _fields(document: Json, schema: Json) -> str:
    schema = _resolve(document, schema)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return "<p>or</p>".join(_fields(document, choice) for choice in choices)
    if "properties" not in schema:
        return f"<p>{_type(document, schema)}</p>"
    required = schema.get("required", [])
    in_order = sorted(schema["properties"].items(), key=lambda field: field[0] not in required)
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{' *' * (name in required)}</td>"
        f'<td class="type">{_type(document, field)}</td><td>{_prose(field.get("description", ""))}</td></tr>'
        for name, field in in_order
    )
    return f"<table><tr><th>field, * required</th><th>type</th><th></th></tr>{rows}</table>"


def _type(document: Json, schema: Json) -> str:
    """Describes a schema in a few words."""
    schema = _resolve(document, schema)
    if "discriminator" in schema:
        return " or ".join(f"<code>{escape(name)}</code>" for name in schema["discriminator"]["mapping"])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(document, choice) for choice in choices if choice != {"type": "null"})
    if "items" in schema:
        return f"list of {_type(document, schema['items'])}"
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if "enum" in schema:
        values = {str(value).lower(): escape(str(value)) for value in reversed(schema["enum"]) if value != ""}
        return " ".join(f"<code>{value}</code>" for value in reversed(values.values()))
    if "properties" in schema:
        return "object of " + ", ".join(f"<code>{escape(name)}</code>" for name in schema["properties"])
    limits = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "above",
        "maxLength": "characters at most:",
    }
    words = [str(schema.get("type", "any"))] + [
        f"{phrase} {schema[limit]:,.10g}" for limit, phrase in limits.items() if limit in schema
    ]
    return escape(", ".join(words))


def _resolve(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Json = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return found


def _enum(schema: Json) -> list[str]:
    return _enums(schema)[0]


def _enums(schema: Json) -> list[list[str]]:
    """Returns every list of values in a schema: its own, those it chooses from, those of its members."""
    inner = [*schema.get("anyOf", []), *schema.get("properties", {}).values()]
    return ([schema["enum"]] if "enum" in schema else []) + [names for each in inner for names in _enums(each)]


def _rows(cells: dict[str, str]) -> str:
    return "".join(
        f"<tr><td><code>{escape(key)}</code></td><td>{_prose(value)}</td></tr>" for key, value in cells.items()
    )


def _prose(text: str) -> str:
    """Returns text as HTML, with what stands between backticks set as code."""
    return "".join(
        f"<code>{escape(part)}</code>" if odd % 2 else escape(part) for odd, part in enumerate(text.split("`"))
    )


def _anchor(method: str, path: str) -> str:
    return escape(f"{method}{path}".replace("/", "-").replace("{", "").replace("}", ""))
