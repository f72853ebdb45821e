import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.markup import MAX_PAUSE_MS, MAX_PAUSES_MS, Mark, MarkupReader, Pause, Rate, without_markup
from engine.normalize import normalize
from tests.support.processor_time import least_s


def read(*pieces: str, language: str = "en") -> list[str | Mark]:
    """What is read of a text in these pieces, neighbouring texts put together."""
    reader = MarkupReader(language)
    items: list[str | Mark] = []
    for item in [item for piece in pieces for item in reader.feed(piece)] + reader.finish():
        if isinstance(item, str) and items and isinstance(items[-1], str):
            items[-1] += item
        else:
            items.append(item)
    return items


@pytest.mark.parametrize(
    ("markup", "ms"),
    [
        ("[pause:2s]", 2000),
        ("[pause:500ms]", 500),
        ("[Pause: 1.5 s]", 1500),
        ("[pause 3]", 3000),
        ("[pause]", 750),
        ('<break time="1s"/>', 1000),
        ("<break time='250ms' />", 250),
        ('<break strength="strong"/>', 1000),
        ('<break strength="none"/>', 0),
        ("<break/>", 750),
        ('<break time="soon"/>', 750),
        ('<break time="-1s"/>', 750),
        ("<break time=1s/>", 1000),
        ("<break time=”1,5s” />", 1500),
        ('<break time="1s>', 750),
        ("[pause:1,5s]", 1500),
        ("[pause: 500 milliseconds]", 500),
        ("[pause 2 secs]", 2000),
        ("[pause:2min]", MAX_PAUSE_MS),
        ("[pause:-1s]", 750),
        ("[pause:soon]", 750),
        ("[pause:9000s]", MAX_PAUSE_MS),
        ('<break time="999999s"/>', MAX_PAUSE_MS),
    ],
)
def test_pauses(markup: str, ms: int) -> None:
    assert read(f"One {markup}two") == ["One ", Pause(ms), "two"]


def test_all_pauses_of_a_text_together_are_bounded() -> None:
    pauses = [item for item in read("[pause:10s]" * 5000) if isinstance(item, Pause)]
    assert sum(pause.ms for pause in pauses) == MAX_PAUSES_MS


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ('The <sub alias="World Wide Web Consortium">W3C</sub> said so.', "The World Wide Web Consortium said so."),
        ('<sub alias="A &amp; B">AB</sub>', "A and B"),
        ('<say-as interpret-as="characters">HAL9</say-as>', "H- A- L-, nine"),
        ('<say-as interpret-as="spell-out">it</say-as>.', "I- T."),
        ('<say-as interpret-as="digits">1984</say-as>', "one nine eight four"),
        ('<say-as interpret-as="telephone">+1 555 1212</say-as>', "plus one, five five five, one two one two"),
        ('<say-as interpret-as="date" format="dmy">03/04/2025</say-as>', "the third of April twenty twenty five"),
        ('<say-as interpret-as="date" format="mdy">03/04/2025</say-as>', "the fourth of March twenty twenty five"),
        ('<say-as interpret-as="date" format="mdy">31/12/2025</say-as>', normalize("31/12/2025")),
        ('the <say-as interpret-as="ordinal">22</say-as>', "the twenty second"),
        ('the <say-as interpret-as="ordinal">12</say-as>', "the twelfth"),
        ('<say-as interpret-as="cardinal">911</say-as> apples', "nine hundred eleven apples"),
        ('<say-as interpret-as="cardinal">1984</say-as>', "one thousand nine hundred and eighty four"),
        ('<say-as interpret-as="riddle">word</say-as>', "word"),
        ('<phoneme alphabet="ipa" ph="x">word</phoneme>', "word"),
        ("a <b>bold</b> <unknown:tag x='1'>word</unknown:tag>", "a bold word"),
        ('<sub alias="">word</sub>', "word"),
        ('<sub alias="one > two">1>2</sub>', "one is greater than two"),
        ("""<a disabled title='a > b' href="x>y">Hi</a>""", "Hi"),
        ("<script src='a>b'>var c</script>Hi", "Hi"),
        ('<a href="x>Say "yes" now', 'Say "yes" now'),
        ('<!DOCTYPE speak [<!ENTITY x "y">]><speak>Hi</speak>', "Hi"),
        ("<script async src='x'>if (a < b) { alert('<b>') }</script>Hi", "Hi"),
        ("<STYLE>p > a { color: red }</Style >Hi", "Hi"),
        ("<script src='x'/>Hi", "Hi"),
        (f"<!-- {'a <b> c ' * 500} -->Hi", "Hi"),
        ("<scripted>Hi", "Hi"),
        ("the [pause] button of [pause the film]", "the button of [pause the film]"),
        ("if 3 < 5 and a[0] is [x]", normalize("if 3 < 5 and a[0] is [x]")),
    ],
)
def test_what_is_said(text: str, spoken: str) -> None:
    assert " ".join(normalize(without_markup(text)).split()) == spoken


def test_an_ordinal_is_one_of_its_language() -> None:
    text = 'am <say-as interpret-as="ordinal">3</say-as> Mai'
    assert [normalize(str(item), "de") for item in read(text, language="de")] == ["am dritten Mai"]


def test_what_stands_by_itself_in_html_is_said_by_itself() -> None:
    assert read("<h1>Menu</h1><ul><li>soup<li>fish</ul>") == ["\n\nMenu\n\n\n\n\n\nsoup\n\nfish\n\n"]
    assert read("Soup<br>Fish") == ["Soup\nFish"]


def test_a_quotation_mark_that_nothing_closes_holds_back_a_line_at_most() -> None:
    reader = MarkupReader()
    assert reader.feed('Wait <break time="1s>for it') == ["Wait "]
    assert reader.feed(".\n") == [Pause(750), "for it.\n"]


@pytest.mark.parametrize("text", ["if a <b and c> d", "x<y and y>z", "say [pause for me]"])
def test_words_between_signs_are_said(text: str) -> None:
    assert read(text) == [text]


def test_words_behind_a_sign_are_said_before_the_text_ends() -> None:
    assert MarkupReader().feed("While x <y is true. Then") == ["While x <y is true. Then"]


def test_nothing_is_read_as_long_as_a_script_may_end() -> None:
    reader = MarkupReader()
    assert reader.feed("Hi <script>a") == ["Hi "]
    assert reader.feed(" b") == []
    assert reader.is_hiding
    assert reader.feed("</scr") + reader.feed("ipt>there") == [" ", "there"]
    assert not reader.is_hiding


def test_a_script_that_is_never_closed_was_none() -> None:
    assert read("The <style> tag, <!-- not this --> and more") == ["The   tag,   and more"]
    assert read("Less is <!-- more") == ["Less is <!-- more"]


def test_what_is_read_of_a_beginning_has_no_script() -> None:
    assert without_markup("Guten Tag <script>var a") == "Guten Tag "


def test_paragraphs_and_sentences_end_what_is_said_before_them() -> None:
    assert read("<p>one</p><s>two</s>") == ["\n\none\n\n\n\ntwo\n\n"]


@pytest.mark.parametrize(
    ("rate", "factor"),
    [("slow", 0.64), ("x-fast", 2.0), ("80%", 0.8), ("1.5", 1.5), ("+20%", 1.2), ("-50%", 0.5), ("9000%", 4.0)],
)
def test_rates(rate: str, factor: float) -> None:
    assert read(f'a<prosody rate="{rate}">b</prosody>c') == ["a", Rate(factor), "b", Rate(1.0), "c"]


def test_a_prosody_without_a_rate_or_unbalanced_changes_nothing() -> None:
    assert read('a<prosody pitch="high">b</prosody></prosody>c') == ["a b  c"]


def test_rates_lie_in_each_other() -> None:
    text = '<prosody rate="50%">a<prosody rate="+50%">b</prosody>c</prosody>'
    assert read(text) == [Rate(0.5), "a", Rate(0.75), "b", Rate(0.5), "c", Rate(1.0)]


@pytest.mark.parametrize("rest", ["<break tim", "</pro", "[pause:2", '<say-as interpret-as="digits"'])
def test_a_tag_that_the_end_of_the_text_cuts_is_not_read_out(rest: str) -> None:
    assert read(f"Wait {rest}") == ["Wait "]


@pytest.mark.parametrize("text", ["5 <", "a <b", "see [", "x <- y", "2 <3"])
def test_a_sign_at_the_end_is_no_tag(text: str) -> None:
    assert read(text) == [text]


PARTS = [
    "<",
    ">",
    "/",
    "[",
    "]",
    "pause:1s",
    "[pause:1s]",
    "<break/>",
    "<sub alias='b'>",
    "</sub>",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "<style a=",
    " hidden",
    "<!doctype a[",
    "[pause:a",
    "a ",
    '<i b="',
    '"',
]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("<!-no comment->Hi", [" Hi"]),
        ('<phoneme ph="x"/>Hi</phoneme> there', [" Hi  there"]),
        ('</i href="x>y">Hi', [" Hi"]),
        ("<!doctype a [b>c]>Hi", [" Hi"]),
    ],
)
def test_a_tag_that_is_nearly_another_one_is_read_alike_however_it_arrives(text: str, spoken: list[str]) -> None:
    assert read(text) == read(*text) == spoken


@given(st.lists(st.sampled_from(PARTS)))
def test_how_a_text_is_cut_makes_no_difference(parts: list[str]) -> None:
    assert read("".join(parts)) == read(*"".join(parts))


@pytest.mark.parametrize(
    "unit",
    [
        "<",
        "[",
        "<a ",
        "<sub a>",
        "<!--",
        "[pause",
        "<say-as x>y",
        "</",
        "<sub a>b</",
        "<?",
        "<script>",
        "<a hidden",
        "<!doctype [",
        "<a b=c",
        '<a b="',
        '<sub a="> ',
        "<sub a='>' ",
    ],
)
def test_the_time_is_linear(unit: str) -> None:
    def seconds(times: int) -> float:
        text = unit * times

        def read_it() -> None:
            reader = MarkupReader()
            for start in range(0, len(text), 256):
                reader.feed(text[start : start + 256])
            reader.finish()

        return least_s(read_it)

    assert seconds(8000) < 16 * 4 * max(seconds(500), 1e-3)
