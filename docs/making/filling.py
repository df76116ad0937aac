"""A page with what its run gave, as Markdown for the site."""

from __future__ import annotations

import re
from collections.abc import Callable

from docs.making.running import BLOCK, CAPTION, VALUE, Run, Shown

WORDS = {
    "en": {"code": "The code that draws this", "warning": "Often said, and loose", "note": "Note"},
    "zh": {"code": "绘图代码", "warning": "常见但不严谨的说法", "note": "注意"},
}


def filled(markdown: str, run: Run, language: str, keep: Callable[[str, bytes], str]) -> str:
    """The page's Markdown with the output behind each block and values in the prose.

    Args:
        keep: takes a suffix and the content of a picture, stores it, and gives the link to it.
    """
    parts = BLOCK.split(markdown)
    texts = [_told(text, values, WORDS[language]) for text, values in zip(parts[::3], run.values, strict=True)]
    page = [texts[0]]
    for folded, code, shown, text in zip(parts[1::3], parts[2::3], run.shown, texts[1:], strict=True):
        block = [_code(code, bool(folded), WORDS[language]), _shown(code, shown, keep)]
        page += [*(reversed(block) if folded else block), text]  # a picture, and then how it is drawn
    return "".join(page)


def _told(text: str, values: dict[str, str], words: dict[str, str]) -> str:
    for kind in ("warning", "note"):
        text = text.replace(f"> [!{kind.upper()}]\n", f"> [!{kind.upper()}] {words[kind]}\n")
    return VALUE.sub(lambda found: values[found.group(1).strip()], text)


def _code(code: str, folded: bool, words: dict[str, str]) -> str:
    fence = f"```python\n{CAPTION.sub('', code)}```\n"
    return _folded(words["code"], fence) if folded else fence


def _folded(title: str, inside: str) -> str:
    lines = "".join(f"    {line}\n" if line else "\n" for line in inside.rstrip("\n").split("\n"))
    return f'??? code "{title}"\n\n{lines}\n'


def _shown(code: str, shown: Shown, keep: Callable[[str, bytes], str]) -> str:
    text = f"\n```{{ .text .output }}\n{shown.text}\n```\n" if shown.text else ""
    captions = CAPTION.findall(code)
    for number, (suffix, content) in enumerate(shown.figures):
        caption = captions[number] if number < len(captions) else ""
        alternative = re.sub(r"[\[\]*`]", "", caption)
        text += f'\n<figure markdown="1" class="drawn">\n![{alternative}]({keep(suffix, content)})\n'
        text += f"<figcaption>{caption}</figcaption>\n</figure>\n" if caption else "</figure>\n"
    return text
