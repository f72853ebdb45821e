"""Rewrites German, Spanish, French and Italian that a grammar of numbers leaves, or reads as nobody says it.

As with `engine.english`, what is written here may still hold digits, where the grammar reads those well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from engine.english.rules import Rule, any_of, rule

_ROMAN: Final = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_NUMERAL: Final = r"((?=[IVXL])(?:XL|X{0,3})(?:IX|IV|V?I{0,3}))"

_DAYS: Final = {
    language: dict(zip(short.split(), whole.split(), strict=True))
    for language, short, whole in (
        ("de", "Mo Di Mi Do Fr Sa So", "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag"),
        ("es", "Lun Mar Mié Jue Vie Sáb Dom", "lunes martes miércoles jueves viernes sábado domingo"),
        ("fr", "Lun Mar Mer Jeu Ven Sam Dim", "lundi mardi mercredi jeudi vendredi samedi dimanche"),
        ("it", "Lun Mar Mer Gio Ven Sab Dom", "lunedì martedì mercoledì giovedì venerdì sabato domenica"),
    )
}
_TO: Final = {"de": "bis", "es": "a", "fr": "à", "it": "a"}
_SIGNS: Final = {
    "de": {"+": "plus", "=": "gleich", ">": "größer als", "<": "kleiner als", "&": "und", "§": "Paragraf", "×": "mal"},
    "es": {"+": "más", "=": "igual a", ">": "mayor que", "<": "menor que", "&": "y", "×": "por"},
    "fr": {"+": "plus", "=": "égale", ">": "supérieur à", "<": "inférieur à", "&": "et", "×": "fois"},
    "it": {"+": "più", "=": "uguale a", ">": "maggiore di", "<": "minore di", "&": "e", "×": "per"},
}
_SHORT_FORMS: Final = {
    "de": {
        "usw.": "und so weiter",
        "MwSt.": "Mehrwertsteuer",
        "Tel.": "Telefon",
        "Min.": "Minuten",
        "Std.": "Stunden",
        "Jan.": "Januar",
        "Feb.": "Februar",
        "Apr.": "April",
        "Aug.": "August",
        "Sept.": "September",
        "Okt.": "Oktober",
        "Nov.": "November",
        "Dez.": "Dezember",
        "u. a.": "unter anderem",
        "u.a.": "unter anderem",
        "evtl.": "eventuell",
        "zzgl.": "zuzüglich",
        "Hbf": "Hauptbahnhof",
    },
    "es": {"C/": "calle", "Pza.": "plaza", "Tel.": "teléfono", "tel.": "teléfono", "Pág.": "página", "pág.": "página"},
    "fr": {
        "Mlle": "mademoiselle",
        "Mmes": "mesdames",
        "MM.": "messieurs",
        "bd": "boulevard",
        "av.": "avenue",
        "c.-à-d.": "c'est-à-dire",
        "Tél.": "téléphone",
        "tél.": "téléphone",
        "svp": "s'il vous plaît",
        "rdv": "rendez-vous",
        "RDV": "rendez-vous",
    },
    "it": {
        "ecc.": "eccetera",
        "ad es.": "ad esempio",
        "p. es.": "per esempio",
        "Tel.": "telefono",
        "tel.": "telefono",
        "N°": "numero",
        "p.zza": "piazza",
    },
}
_KINGS: Final = {
    "es": "Juan|Alfonso|Carlos|Felipe|Fernando|Juan Carlos|Luis|Enrique|Isabel|Pío|Benedicto",
    "fr": "Louis|Charles|Henri|François|Philippe|Napoléon|Élisabeth|Benoît|Pie",
    "it": "Luigi|Carlo|Enrico|Filippo|Vittorio Emanuele|Umberto|Elisabetta|Pio|Benedetto",
    "de": "Ludwig|Karl|Heinrich|Friedrich|Friedrich Wilhelm|Wilhelm|Otto|Elisabeth|Pius|Benedikt",
}
_SPANISH_ORDINALS: Final = "primero segundo tercero cuarto quinto sexto séptimo octavo noveno décimo".split()  # noqa: SIM905
_MONTHS: Final = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()  # noqa: SIM905


def rewrite(text: str, language: str) -> str:
    """Returns `text` with every rule of the language applied to the whole of it; of another language, as it was."""
    for one in _RULES.get(language, ()):
        text = one.pattern.sub(one.written, text)
    return text


def _value(numeral: str) -> int:
    values = [_ROMAN[letter] for letter in numeral]
    return sum(-value if value < later else value for value, later in zip(values, [*values[1:], 0], strict=True))


def _span(language: str) -> Rule:
    """Returns the rule of "Mo-Fr" and its like. A short form alone stays: "Mar" and "Mi" are words."""
    names = _DAYS[language]

    def written(match: re.Match[str]) -> str:
        return f"{names[match[1]]} {_TO[language]} {names[match[2]]}"

    return rule(rf"\b({any_of(names)})\.?\s?[-–—]\s?({any_of(names)})\b\.?", written)


def _signs(language: str) -> Rule:
    signs = _SIGNS[language]
    return rule(rf"(?<=[\w.])\s({any_of(signs)})\s(?=[\w-])", lambda match: f" {signs[match[1]]} ")


def _short_forms(language: str) -> Rule:
    """Returns the rule of words in short. A full stop that ends the sentence too stays."""
    forms = _SHORT_FORMS[language]

    def written(match: re.Match[str]) -> str:
        ends = match[1].endswith(".") and not match.string[match.end() :].strip()
        return forms[match[1]] + "." * ends

    return rule(rf"(?<![\w.])({any_of(forms)})(?!\w)", written)


def _king(language: str) -> Rule:
    def written(match: re.Match[str]) -> str:
        number = _value(match[2])
        if language == "es":
            return f"{match[1]} {_SPANISH_ORDINALS[number - 1] if number <= len(_SPANISH_ORDINALS) else number}"
        if language == "fr":
            return f"{match[1]} {number}"
        return f"{match[1]} der {number}." if language == "de" else f"{match[1]} {number}º"

    stop = r"\.?" if language == "de" else ""
    return rule(rf"\b({_KINGS[language]}) {_NUMERAL}(?!\w){stop}", written)


def _year(match: re.Match[str]) -> str:
    """Groups a year by a full stop, which has the grammar say "zweitausendvierundzwanzig", as people do."""
    return f"2.{match[0][1:]}"


def _german_date(match: re.Match[str]) -> str:
    day, month, year = int(match[1]), int(match[2]), match[3]
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return match[0]
    if len(year) == 2:
        year = f"20{year}" if int(year) < 50 else f"19{year}"
    return f"{day}. {_MONTHS[month - 1]} {year}"


def _one_by_one(match: re.Match[str]) -> str:
    return match[1] + " ".join(match[2])


def _ratio(match: re.Match[str]) -> str:
    """Says what is no time of day: a result, or the form of a screen."""
    return f"{match[1]} zu {match[2]}"


def _points(word: str) -> Callable[[re.Match[str]], str]:
    return lambda match: match[1] + f" {word} ".join(match[2].split("."))


def _century(match: re.Match[str]) -> str:
    number = _value(match[1])
    return f"{number}{'er' if number == 1 else 'e'}"


_OWN: Final[dict[str, tuple[Rule, ...]]] = {
    "de": (
        rule(r"(?<![\w.])(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4}|\d\d)(?![\w]|[.,]\d)", _german_date),
        rule(r"(?<![\w.,/-])((?:1[89]|20)\d\d)\s?[-–]\s?(?=(?:19|20)\d\d\b)", r"\1 bis "),
        rule(r"(?<![\w.,/-])20\d\d(?![\w/-]|[.,]\d)", _year),
        rule(r"(?<![\w:])(\d{1,3}):(\d)(?![\w:])", _ratio),
        rule(r"(?<![\w:])(\d{1,3}):(\d{1,3})(?=\s(?:gewonnen|verloren|gespielt)\b)", _ratio),
        rule(r"\b((?:Kapitel|Abschnitt|Version) )v?(\d{1,3}(?:\.\d{1,3}){1,3})\b(?!,?\d)", _points("Punkt")),
        rule(
            r"\b((?:PLZ|Postleitzahl|PIN|Code|\w{0,20}[Nn]ummer|[Nn]otruf|Vorwahl)(?: ist| lautet)?:? )"
            r"(\d{3,8})(?![\w]|[.,]\d)",
            _one_by_one,
        ),
        rule(r"(?<![\w.,])(11[0-8])(?=\s(?:an|anrufen|wählen|oder 11\d)\b)", lambda match: " ".join(match[1])),
        rule(r"((?:1 1 \d) oder )(11\d)\b", _one_by_one),
        rule(rf"\b({any_of(_DAYS['de'])})\.,?(?=\s\d{{1,2}}\.)", lambda match: _DAYS["de"][match[1]]),
        rule(r"(?<=\w)str\.(?=\s\d)", "straße"),
        rule(r"#(?=\d)", "Nummer "),
        rule(r"(?<=\d) x (?=\d)", " mal "),
        rule(r"§\s?(?=\d)", "Paragraf "),
    ),
    "es": (
        rule(r"\b(\d{1,2})\.?º(?=\s(?:piso|puesto|premio|grado|año|lugar|plato))", r"\1.er"),
        rule(r"\b((?:PIN|código|[Pp]edido|[Nn]úmero)(?: es)?:? )(\d{3,8})(?![\w]|[.,]\d)", _one_by_one),
    ),
    "fr": (
        rule(rf"\b{_NUMERAL}(er|ère|e|ème)\b(?=\s(?:siècle|arrondissement|République|étage|édition))", _century),
        rule(r"\b(François|Napoléon|Charles|Henri|Philippe) Ier\b", r"\1 1er"),
        rule(r"\b24\s?h(?:eures)?/24\b", "24 heures sur 24"),
        rule(r"\b7\s?j(?:ours)?/7\b", "7 jours sur 7"),
        rule(r"(?<![\w])(\d{1,2})\s?h\s?[-–]\s?(?=\d{1,2}\s?h)", r"\1 h à "),
        rule(r"\bMe(?=\s[A-Z]\w)", "maître"),
        rule(r"\b(St|Ste)-(?=[A-Z])", lambda match: "Saint-" if match[1] == "St" else "Sainte-"),
        rule(r"\b((?:PIN|code|[Cc]ommande|[Nn]uméro)(?: est)?(?: le)?:? )(\d{3,8})(?![\w]|[.,]\d)", _one_by_one),
    ),
    "it": (
        rule(r"(?<!\d)\s?½(?=\s)", " mezzo"),
        rule(r"\b((?:PIN|codice|[Oo]rdine|[Nn]umero)(?: è)?:? )(\d{3,8})(?![\w]|[.,]\d)", _one_by_one),
    ),
}
_RULES: Final[dict[str, tuple[Rule, ...]]] = {
    language: (*own, _span(language), _king(language), _short_forms(language), _signs(language))
    for language, own in _OWN.items()
}
