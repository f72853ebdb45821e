"""A SIP phone by other hands (PJSIP's pjsua2), as a process: `python pjsua_phone.py URI HEARD.wav`.

It dials, prints "answered", does what it reads on standard input ("press 42#", "hang up"), records what it hears,
prints "ended" and exits when either side has hung up.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path
from typing import Any

import pjsua2 as pj  # type: ignore[import-untyped]

RATE_HZ = 8_000
POLL_MS = 20


class Phone(pj.Call):  # type: ignore[misc]
    """The one call."""

    def __init__(self, account: pj.Account, recording: Path) -> None:
        super().__init__(account)
        self.over = False
        self._recording = recording
        self._recorder: pj.AudioMediaRecorder | None = None

    def onCallState(self, prm: Any) -> None:
        if self.getInfo().state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.over = True

    def onCallMediaState(self, prm: Any) -> None:
        info = self.getInfo()  # kept: its media live as long as it does
        for media in info.media:
            if (
                media.type == pj.PJMEDIA_TYPE_AUDIO
                and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE
                and not self._recorder
            ):
                self._recorder = pj.AudioMediaRecorder()
                self._recorder.createRecorder(str(self._recording))
                self.getAudioMedia(media.index).startTransmit(self._recorder)
                print("answered", flush=True)

    def close(self) -> None:
        """Finishes the recording."""
        self._recorder = None


def start(endpoint: pj.Endpoint) -> pj.Account:
    """An endpoint without sound card or threads, and the account to call from."""
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 0
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.medConfig.clockRate = config.medConfig.sndClockRate = RATE_HZ
    config.medConfig.noVad = True
    config.medConfig.ecTailLen = 0
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.port = 0
    transport.boundAddress = "127.0.0.1"
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    settings = pj.AccountConfig()
    settings.idUri = "sip:pjsua@127.0.0.1"
    settings.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
    account = pj.Account()
    account.create(settings)
    return account


def main(uri: str, recording: Path) -> None:
    """One call from start to end."""
    endpoint = pj.Endpoint()
    account = start(endpoint)
    phone = Phone(account, recording)
    phone.makeCall(uri, pj.CallOpParam(True))
    hanging_up = False
    while not phone.over:
        endpoint.libHandleEvents(POLL_MS)
        if not hanging_up and select.select([sys.stdin], [], [], 0)[0]:
            command, _, digits = sys.stdin.readline().strip().partition(" ")
            if command == "press":
                phone.dialDtmf(digits)
            else:  # "hang up", or nobody is there any more to say it
                hanging_up = True
                phone.hangup(pj.CallOpParam(True))
    phone.close()
    print("ended", flush=True)
    del phone
    account.shutdown()
    endpoint.libDestroy()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
