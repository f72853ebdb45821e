import pytest

from engine.language import detect


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Please stay on the line, and somebody will be with you shortly."),
        ("de", "Guten Tag, wie kann ich Ihnen helfen?"),
        ("fr", "Bonjour, comment puis-je vous aider ?"),
        ("es", "Hola, ¿en qué puedo ayudarle hoy?"),
        ("it", "Buongiorno, come posso aiutarla?"),
        ("pt", "Bom dia, em que posso ajudar você hoje?"),
        ("zh", "您好，请问有什么可以帮您？"),
        ("ja", "こんにちは、ご用件は何でしょうか。"),
        ("ko", "안녕하세요, 무엇을 도와드릴까요?"),
        ("ru", "Здравствуйте, чем я могу вам сегодня помочь?"),
    ],
)
def test_a_sentence_is_recognised(language: str, text: str) -> None:
    assert detect(text) == language


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Guten Tag!"),
        ("de", "Vielen Dank."),
        ("de", "Um 9 Uhr."),
        ("de", "Nein, danke."),
        ("es", "Gracias."),
        ("es", "Buenos días."),
        ("es", "Son las 3."),
        ("es", "Cuesta 5 euros."),
        ("es", "Un momento, por favor."),
        ("fr", "Merci beaucoup."),
        ("fr", "Oui."),
        ("it", "Grazie mille."),
        ("pt", "Bom dia!"),
        ("nl", "Dank je wel."),
    ],
)
def test_a_short_phrase_is_known_by_its_words(language: str, text: str) -> None:
    assert detect(text) == language


@pytest.mark.parametrize(
    "text",
    ["Son.", "Tag.", "Name?", "9 EST.", "Ben.", "Come.", "My son", "Gracias means thanks.", "Buenos Aires is nice.",
     "Die Hard is a movie.", "Mi casa, your casa", "SIM card", "Hola, how are you?", "A la carte",
     "", "Yes.", "Hello there.", "OK, Müller.", "Reservation for José García", "Order #A-10023", "Goodbye!", "42", "😀",
     "Café au lait, please.", "Welcome to Deutsche Bahn.", "The Restaurant Chez Pierre is open"],
)  # fmt: skip
def test_no_guess_where_it_could_be_wrong(text: str) -> None:
    assert detect(text) in (None, "en")


def test_a_phrase_that_begins_a_longer_text_is_not_enough() -> None:
    assert detect("Gracias.", phrases=()) is None


def test_a_phrase_is_of_no_language_that_is_not_spoken():
    """An engine that does not speak it says it with an accent, and does not refuse it."""
    assert detect("Obrigado.") == "pt"
    assert detect("Obrigado.", phrases=("en", "de")) is None
