"""The languages beside hibari's English, which Pico speaks: how well they are understood, and what they take.

    pip install '.[hearing,languages,pico]'
    python -m benchmarks.languages

Word error rates are what Whisper base hears of six sentences after G.711 µ-law at 8 kHz, as the server runs it: what it
is unsure of is left out.
"""

from __future__ import annotations

import time

import jiwer
import numpy as np
from whisper_normalizer.basic import BasicTextNormalizer  # type: ignore[import-untyped]

from benchmarks.machine import facts
from bridge.dial.table import aligned
from bridge.hearing.asr.whisper import Whisper
from engine.audio import resample, ulaw_encode
from engine.hibari.chunks import SAMPLE_RATE_HZ
from engine.hibari.messages import Speak
from engine.hibari.pico import Pico
from engine.speech import Pcm
from tests.support.g711 import ulaw_decode

TELEPHONE_HZ = 8_000
WHISPER_HZ = 16_000

SENTENCES = {
    "de": (
        "Guten Tag, hier ist die Praxis von Anna Schmidt.",
        "Bitte bleiben Sie in der Leitung, wir sind gleich für Sie da.",
        "Ihr Termin ist am Montag um halb zehn.",
        "Ich habe Sie leider nicht verstanden, können Sie das bitte wiederholen?",
        "Ihre Bestellung kommt in zwei Tagen bei Ihnen an.",
        "Kann ich sonst noch etwas für Sie tun?",
    ),
    "es": (
        "Buenos días, ha llamado a la consulta de Ana García.",
        "Por favor, no cuelgue, enseguida le atendemos.",
        "Su cita es el lunes a las nueve y media.",
        "Lo siento, no le he entendido, ¿puede repetirlo?",
        "Su pedido llegará dentro de dos días.",
        "¿Puedo ayudarle en algo más?",
    ),
    "fr": (
        "Bonjour, vous êtes bien au cabinet de Claire Martin.",
        "Veuillez rester en ligne, nous allons vous répondre.",
        "Votre rendez-vous est lundi à neuf heures et demie.",
        "Je suis désolé, je n'ai pas compris, pouvez-vous répéter ?",
        "Votre commande arrivera dans deux jours.",
        "Puis-je faire autre chose pour vous ?",
    ),
    "it": (
        "Buongiorno, questo è lo studio di Anna Rossi.",
        "Resti in linea, per favore, le rispondiamo subito.",
        "Il suo appuntamento è lunedì alle nove e mezza.",
        "Mi dispiace, non ho capito, può ripetere?",
        "Il suo ordine arriverà tra due giorni.",
        "Posso fare altro per lei?",
    ),
}


def main() -> None:
    print(aligned(facts()), end="\n\n")
    pico, written = Pico(), BasicTextNormalizer()
    rows = [("language", "words wrong %", "audio s", "× realtime", "of a core for 5 s of sound, ms")]
    misheard: list[str] = []
    for language, sentences in SENTENCES.items():
        whisper = Whisper(language)
        pico_s = sound_s = 0.0
        heard = []
        for sentence in sentences:
            begun_s = time.thread_time()
            pcm = np.concatenate(list(pico.speak(Speak(sentence, language=language))))
            pico_s += time.thread_time() - begun_s
            sound_s += pcm.size / SAMPLE_RATE_HZ
            heard.append(whisper.recognise(over_the_telephone(pcm).tobytes()).text)
        misheard += [
            f"{said!r}: {text!r}" for said, text in zip(sentences, heard, strict=True) if written(said) != written(text)
        ]
        wrong = jiwer.wer([written(sentence) for sentence in sentences], [written(text) for text in heard])
        rows.append(
            (language, f"{wrong:.1%}", f"{sound_s:.1f}", f"{sound_s / pico_s:.0f}", f"{5_000 * pico_s / sound_s:.0f}")
        )
    print(aligned(rows), *misheard, sep="\n")


def over_the_telephone(pcm: Pcm) -> Pcm:
    """Returns the sound as Whisper takes it, after µ-law at 8 kHz."""
    line = ulaw_decode(ulaw_encode(resample(pcm, SAMPLE_RATE_HZ, TELEPHONE_HZ)))
    return resample(line, TELEPHONE_HZ, WHISPER_HZ)


if __name__ == "__main__":
    main()
