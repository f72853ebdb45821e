"""The text of the dialplan: what Asterisk is to do with a call."""

from __future__ import annotations

from importlib import resources
from typing import Final

from bridge.calls_api.media import PATH as MEDIA_PATH
from bridge.commands.asterisk_version import DTMF, UUID_FUNCTION, CannotPrint
from bridge.commands.dialplan_options import DialplanOptions
from bridge.commands.dialplan_resume import CUTS, SPARE, WAS_CUT, resume_values
from bridge.line.websocket import PROTOCOL

COMMAND_MAX: Final = 1_000
"""Asterisk reads a longer line than 8 KiB as two, and the rest of a comment is none."""
RING_S: Final = 30
"""How long somebody is called for a warm transfer."""
BRIEF_S: Final = 120
"""How long a brief may take: a server that hangs must not keep the caller in the music."""
WATCH_S: Final = 2
"""How often the dialplan asks whether a server that has a call is alive."""


def render(options: DialplanOptions, command: str) -> str:
    """Returns the dialplan. Its first line says that `command` prints it again. Raises CannotPrint."""
    options.check()
    if len(command) > COMMAND_MAX or not command.isprintable():
        raise CannotPrint("the options are too long for a dialplan, or hold characters that cannot be printed")
    values = {
        "AFTER": _part("states")
        + _part("warm")
        + (_part("watch") if options.watch else "")
        + ("" if options.application else _part("transferred")),
        "MOVED": "" if options.application else _MOVED,
        "PEER": "${DIALEDPEERNAME}" if options.websocket else "AudioSocket/${TS_AUDIO}-${TS_CALL}",
        "PEER_ID": "MEDIA_WEBSOCKET_CONNECTION_ID" if options.websocket else "AUDIOSOCKET_UUID",
        "WATCHED": _WATCHED if options.watch else "",
        "HEAD": _head(options, command),
        **resume_values(options.resume, _new_call(options, *SPARE), _spares(options)),
        "UUID": _uuid(options),
        "BACK": options.fallback or "${STACK_PEEK(1,c,1)},${STACK_PEEK(1,e,1)},${STACK_PEEK(1,p,1)}",
        "AUTHORIZATION": _authorization(options),
        "SERVERS": "\n".join(_server(options, index) for index in range(len(options.servers))),
        "FALLBACK": _fallback(options),
        "UNHEARD": _unheard(options),
        "NEW_CALL": _new_call(options, "${CUT(TS_NEXT,\\,,7)}", "${CUT(TS_NEXT,\\,,8)}"),
        "BRIEF_CALL": "^${CUT(TS_NEXT,\\,,5)}^${CUT(TS_NEXT,\\,,6)}" if options.secret else "",
        "NEW_BRIEF": _new_call(options, "${ARG4}", "${ARG5}"),
        "AUDIOSOCKET": _audiosocket(options),
        "BRIEF_LINE": _channel(options, "${ARG3}", "c(slin)"),
        "AUDIO": "client in websocket_client.conf" if options.websocket else "AudioSocket address",
        "WATCH_S": str(WATCH_S),
        "RING_S": str(RING_S),
        "BRIEF_MS": str(BRIEF_S * 1_000),
        "CONTEXT": options.context,  # comes last, because the other values contain it
    }
    text = _part("dialplan")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _part(name: str) -> str:
    return resources.files("bridge.commands").joinpath(f"{name}.conf").read_text()


_WATCHED: Final = (
    " same => n,TryExec(Originate(Local/watch_${UNIQUEID}@@CONTEXT@-watch/n,exten,@CONTEXT@-watch,quiet,1,5))\n"
)
_MOVED: Final = (
    " same => n,Set(TS_TRIES=1)\n"
    " same => n(moved),Set(TS_PEER=${IMPORT(@PEER@,BRIDGEPEER)})\n"
    ' same => n,GotoIf($["${TS_PEER}" != "" & "${TS_PEER}" != "${CHANNEL(name)}"]?h,1)\n'
    ' same => n,GotoIf($["${IMPORT(@PEER@,@PEER_ID@)}" = ""]?over)\n'
    " same => n,Set(TS_TRIES=$[${TS_TRIES}+1])\n"
    " same => n,Wait(0.05)\n"
    " same => n,GotoIf($[${TS_TRIES} < 10]?moved)\n"
)
"""The agent's channel takes a moment to end, or to show with whom it goes on if the call was transferred to it."""


def _audiosocket(options: DialplanOptions) -> str:
    if options.application:
        return "AudioSocket(${TS_CALL},${ARG2})"
    return f"Dial({_channel(options, '${ARG2}', 'c(slin16)' if options.wideband else 'c(slin)')},,g)"


def _channel(options: DialplanOptions, address: str, codec: str) -> str:
    """Returns what is dialled to reach the server for the call TS_CALL."""
    if options.websocket:
        token = ",token=${TS_TOKEN}" if options.secret else ""
        return f"WebSocket/{address}/{codec}f(json)v(id=${{TS_CALL}}{token})"
    return f"AudioSocket/{address}/${{TS_CALL}}/{codec}"


def render_client(options: DialplanOptions) -> str:
    """Returns what Asterisk's websocket_client.conf must hold for a dialplan with WebSockets."""
    return "\n".join(
        f"""[{options.client(index)}]
type = websocket_client
connection_type = per_call_config
uri = {"wss" if options.tls else "ws"}://{server.host}:{server.http_port}{MEDIA_PATH}
protocols = {PROTOCOL}
connection_timeout = 1000            ; milliseconds; a server that is down must not keep the caller waiting
reconnect_attempts = 1
tls_enabled = {"yes" if options.tls else "no"}
"""
        for index, server in enumerate(options.servers)
    )


def _head(options: DialplanOptions, command: str) -> str:
    lines = [f"; Made by: {command}"]
    if options.asterisk is None:
        lines.append("; For Asterisk 18 and later.")
    else:
        lines.append(f"; For Asterisk {options.asterisk[0]}.{options.asterisk[1]}.")
    if not options.hears_keys:
        lines.append(f"; Keys that are pressed reach the agent with Asterisk {DTMF}, or later. Without them")
        lines.append("; a warm transfer is one without a brief: nobody could take the call.")
    if options.secret:
        lines.append(f"; {options.secret_path} must hold what this prints: talkspurt dialplan --secret")
    if options.websocket:
        lines.append(f"; {options.client_path} must hold what this prints: {command} --websocket-client")
        lines.append(f"; websocket_client.conf must have the line: #include {options.context}.websocket")
    lines += [
        ";",
        "; FreePBX: add a Custom Destination with Target @CONTEXT@,s,1 and Return "
        f"{'No' if options.fallback else 'Yes'}. docs/freepbx.md walks through it.",
    ]
    return "\n".join(lines)


def _server(options: DialplanOptions, index: int) -> str:
    server, was_cut = options.servers[index], f"\n{WAS_CUT.rstrip()}" if options.resume else ""
    audio = options.client(index) if options.websocket else f"{server.host}:{server.audiosocket_port}"
    arguments = f"{'https' if options.tls else 'http'}://{server.host}:{server.http_port},{audio}"
    return (
        f" same => n,Gosub({options.context}-server,s,1({arguments}))\n"
        f' same => n,GotoIf($["${{GOSUB_RETVAL}}" = "taken"]?next){was_cut}'
    )


def _authorization(options: DialplanOptions) -> str:
    """Returns what makes this call's token. Asterisk's log shows the token, which is good for nothing else."""
    if not options.secret:
        return ""
    token = _token(options, "TS_CALL")
    kept = f" same => n,Set(TS_TOKEN={token})\n" if options.websocket else ""
    return f" same => n,Set(CURLOPT(userpwd)=${{TS_CALL}}:{token})\n{kept}"


def _token(options: DialplanOptions, name: str) -> str:
    secret = f"${{FILE({options.secret_path},0,64)}}"
    return f"${{SHA1({secret}${{SHA1({secret}${{{name}}})}})}}"


def _spares(options: DialplanOptions) -> str:
    """Returns what makes ids and tokens for calls that go on: one that has dialled a WebSocket reads no secret."""
    if not (options.resume and options.secret):
        return ""
    one = (
        f" same => n,Set(TS_SPARE={_uuid(options)})\n"
        f" same => n,Set(TS_SPARES=${{TS_SPARES}}${{TS_SPARE}},{_token(options, 'TS_SPARE')},)\n"
    )
    return " same => n,Set(TS_SPARES=)\n" + one * CUTS


def _new_call(options: DialplanOptions, call_id: str, token: str) -> str:
    """Returns what makes a new call of this one. Its id and token, where there are tokens, are what the server told."""
    if not options.secret:
        return f" same => n,Set(TS_CALL={_uuid(options)})\n"
    kept = f" same => n,Set(TS_TOKEN={token})\n" if options.websocket else ""
    return f" same => n,Set(TS_CALL={call_id})\n same => n,Set(CURLOPT(userpwd)=${{TS_CALL}}:{token})\n{kept}"


def _uuid(options: DialplanOptions) -> str:
    return "${UUID()}" if options.has(UUID_FUNCTION) else "${SHELL(cat /proc/sys/kernel/random/uuid):0:36}"


def _unheard(options: DialplanOptions) -> str:
    """Returns what transfers without a brief where the server does not hear the key that takes the call."""
    if options.hears_keys:
        return ""
    there = "${CUT(TS_NEXT,\\,,1-3)}"
    if options.asterisk is not None:
        return f" same => n,Goto({there})            ; this Asterisk tells the server of no keys\n"
    return (
        '; Whether this Asterisk tells the server of keys, "certified-20.7-cert4" as well as "22.8.2".\n'
        ' same => n,Set(TS_VERSION=${IF($["${IFMODULE(func_version.so)}" = "1"]?${VERSION()}:0)})\n'
        " same => n,Set(TS_MINOR=${CUT(TS_VERSION,.,2)})\n"
        " same => n,Set(TS_MINOR=${FILTER(0-9,${CUT(TS_MINOR,-,1)})})\n"
        " same => n,Set(TS_VERSION=$[0${FILTER(0-9,${CUT(TS_VERSION,.,1)})} * 1000 + 0${TS_MINOR}])\n"
        f" same => n,GotoIf($[{DTMF.condition('${TS_VERSION}')}]?:{there})\n"
    )


def _fallback(options: DialplanOptions) -> str:
    if options.fallback:
        return f" same => n(fallback),Goto({options.fallback})\n"
    return (
        ' same => n(fallback),ExecIf($["${STACK_PEEK(1,c,1)}" != ""]?Return())\n'
        " same => n,Log(ERROR,Nowhere to return to: set Return to Yes in the Custom Destination)\n"
    )
