import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import continental, english
from engine.markup import without_markup
from engine.normalize import LANGUAGES, is_plain, normalize
from tests.support.processor_time import least_s

needs_grammars = pytest.mark.skipif(not LANGUAGES, reason="damga has no wheel for this Python")

ENGLISH = {
    "numbers": (
        "We had 1,250 people and 3.5 tons.",
        "We had one thousand two hundred and fifty people and three point five tons.",
    ),
    "spaced thousands": ("10 000 000 people", "ten million people"),
    "ordinal": ("The 3rd door.", "The third door."),
    "year": ("In 1999.", "In nineteen ninety nine."),
    "money": ("It costs $1,234.56.", "It costs one thousand two hundred and thirty four dollars fifty six cents."),
    "money, sign last": ("It costs 50€.", "It costs fifty euros."),
    "American date": ("Due 3/1/2026.", "Due March first twenty twenty six."),
    "date in words": ("On March 3, 2026.", "On March third twenty twenty six."),
    "time": ("At 5:30 pm.", "At five thirty p.m."),
    "time of 24 hours": ("At 17:00.", "At five p.m."),
    "range of times": ("From 10:30–11:15.", "From ten thirty to eleven fifteen."),
    "unit": ("It weighs 5 kg.", "It weighs five kilograms."),
    "percent": ("50% off.", "fifty percent off."),
    "telephone": ("Call (555) 010-0199.", "Call five five five, zero one zero, zero one nine nine."),
    "telephone, short": ("Call 555-0100.", "Call five five five, zero one zero zero."),
    "telephone, international": (
        "Call +44 20 7946 0958.",
        "Call plus four four, two zero, seven nine four six, zero nine five eight.",
    ),
    "telephone, unbroken": ("Call 5550100199.", "Call five five five, zero one zero, zero one nine nine."),
    "e-mail": ("Write to john.doe@example.com.", "Write to john dot doe at example dot com."),
    "URL": ("See https://www.example.com/help?x=1.", "See example dot com slash help."),
    "domain": ("See example.com.", "See example dot com."),
    "id": ("Order #A-10023 is late.", "Order A-, one zero zero two three is late."),
    "flight": ("Flight BA2490.", "Flight B- A-, two four nine zero."),
    "code": ("The code is 83921.", "The code is eight three nine two one."),
    "order number": ("Order number 10023.", "Order number one zero zero two three."),
    "leading zeros": ("Your PIN is 0042.", "Your PIN is zero zero four two."),
    "Markdown": ("**Note:** see [our page](http://a.com).", "Note: see our page."),
    "list": ("- 2 apples", "two apples"),
    "emoji": ("Great 😀 news!", "Great news!"),
}


CONTINENTAL_PHRASES = [
    line.split("\t") for line in Path(__file__).with_name("continental_phrases.tsv").read_text().splitlines()
]
"""The same in German, Spanish, French and Italian, after the language's code."""
PHRASES = [line.split("\t") for line in Path(__file__).with_name("english_phrases.tsv").read_text().splitlines()]
"""Written phrases, and what a person would say: one of each kind that callers and books bring."""


@needs_grammars
@pytest.mark.parametrize(("written", "read"), PHRASES, ids=[written for written, _ in PHRASES])
def test_phrases_are_read_as_a_person_would(written: str, read: str) -> None:
    assert normalize(written) == read


@needs_grammars
@pytest.mark.parametrize(
    ("language", "written", "read"), CONTINENTAL_PHRASES, ids=["-".join(phrase[:2]) for phrase in CONTINENTAL_PHRASES]
)
def test_phrases_of_other_languages_are_read_as_a_person_would(language: str, written: str, read: str) -> None:
    assert normalize(written, language) == read


@needs_grammars
@pytest.mark.parametrize(
    "unit", ["Mo-", "11", "1:1 ", "1.1.", "A & ", "Ludwig XI ", "Nummer 11", "24h/", "usw", "2024-"]
)
@pytest.mark.parametrize("language", ["de", "es", "fr", "it"])
def test_rules_of_other_languages_take_time_in_proportion_to_the_text(language: str, unit: str) -> None:
    def seconds(characters: int) -> float:
        text = (unit * characters)[:characters]
        return least_s(lambda: continental.rewrite(text, language))

    assert seconds(8000) < 16 * 4 * max(seconds(500), 1e-4)


@needs_grammars
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a <b>bold</b> word", "a bold word"),
        ("<p>Fish &amp; chips.</p><p>Now.</p>", "Fish and chips. Now."),
        ('<speak>Hi <emphasis level="strong">you</emphasis> there.</speak>', "Hi you there."),
        ("one<br/>two", "one two"),
        ("<speak><![CDATA[hello <b>you</b>]]> there</speak>", "hello you there"),
        ("<![CDATA[hello]]>", "hello"),
        ("a[0]] and b]", "a[0]] and b]"),
        ("3>2 and 1<2", "three is greater than two and one is less than two"),
        ("<!-- not for the ear -->Hello.", "Hello."),
        ("if 3 < 5 and 7 > 4", "if three is less than five and seven is greater than four"),
    ],
)
def test_tags_are_not_read_out(written: str, read: str) -> None:
    assert normalize(" ".join(without_markup(written).split())) == read


@needs_grammars
@pytest.mark.parametrize(
    "unit",
    [
        *("St. ", "<a ", "1/2/", "1,", "Aa Bb ", "Mon-", "4111 ", "&", "a^", "Dr ", "Flight AA "),
        *("A1", "a1", "1a:", "1 1", "1.", "1e", "1*1=", "★", "1.111", "x²", "1st/", '1" x ', "1-", "A-", "00:"),
    ],
)
def test_english_rules_take_time_in_proportion_to_the_text(unit: str) -> None:
    def seconds(characters: int) -> float:
        text = (unit * characters)[:characters]
        return least_s(lambda: english.rewrite(text))

    assert seconds(8000) < 16 * 4 * max(seconds(500), 1e-4)


@needs_grammars
@pytest.mark.parametrize(("written", "read"), ENGLISH.values(), ids=ENGLISH.keys())
def test_english(written: str, read: str) -> None:
    assert normalize(written) == read


@needs_grammars
@pytest.mark.parametrize(
    "text",
    [
        "Hello, how are you today?",
        'He said "Go away," and left...',
        "It’s O’Neill’s — really!",
        "I would, if I could; (but) I can't.",
        "你好，今天怎么样？",
    ],
)
def test_plain_words_come_back_as_they_were(text: str) -> None:
    assert is_plain(text)
    assert normalize(text) == text


@needs_grammars
@pytest.mark.parametrize("text", ["2 * 3 apples and snake_case", "Call 911.", "2026-03-01", "192.168.1.1", "10 to 20"])
def test_what_only_looks_like_something_else(text: str) -> None:
    read = normalize(text)
    assert not any(char.isdigit() for char in read)
    assert "p.m." not in read


@needs_grammars
@pytest.mark.parametrize(
    ("language", "written", "read"),
    [
        ("de", "Am 3. Mai um 14:30 Uhr.", "Am dritten Mai um vierzehn Uhr dreißig."),
        ("de", "Tel. 030 1234567", "Telefon null drei null, eins zwei drei, vier fünf sechs sieben"),
        ("fr", "Le 3/5/2026.", "Le trois mai deux mille vingt-six."),
        ("es", "info@ejemplo.es", "info arroba ejemplo punto es"),
        ("pt", "info@exemplo.pt", "info arroba exemplo ponto pt"),
        ("zh", "请拨打 0800 123 4567。", "请拨打 0 8 0 0, 1 2 3, 4 5 6 7。"),
        ("zh", "共1,234元。", "共1,234元。"),
    ],
)
def test_other_languages(language: str, written: str, read: str) -> None:
    assert normalize(written, language) == read


@given(st.text(max_size=80) | st.lists(st.sampled_from(list("0123456789 $.,:/-#A@+()%")), max_size=30).map("".join))
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(normalize(text), str)


@given(st.text(st.sampled_from("abc XYZ ,;'\"-—éü?!"), max_size=60))
def test_letters_are_never_lost(text: str) -> None:
    assert [char for char in normalize(text) if char.isalpha()] == [char for char in text if char.isalpha()]


def test_without_grammars_the_digits_stay_for_the_engine() -> None:
    without = "import sys; sys.modules['damga'] = None; "
    code = without + "from engine.normalize import normalize; print(normalize('Call 555-0100, $5.'))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "Call 5 5 5, 0 1 0 0, $5."
