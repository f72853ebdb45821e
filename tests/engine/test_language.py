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
    "text",
    ["", "Yes.", "Hello there.", "OK, Müller.", "Reservation for José García", "Order #A-10023", "Goodbye!", "42", "😀",
     "Café au lait, please.", "Welcome to Deutsche Bahn.", "The Restaurant Chez Pierre is open"],
)  # fmt: skip
def test_no_guess_where_it_could_be_wrong(text: str) -> None:
    assert detect(text) in (None, "en")
