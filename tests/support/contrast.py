"""Which texts of a page are too pale as a browser shows them: WCAG 2.2 (AA) wants 4.5 to 1, of large ones 3 to 1."""

from __future__ import annotations

import json
from typing import Final

from tests.support.browser import Browser

PALE: Final = """(names => {
  const WRITTEN_IN = 'textarea, input:not([type=range], [type=checkbox], [type=radio], [type=file], [type=hidden])';
  const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const shown = layers => {  // what is seen of colours over each other
    for (const [colour, opacity] of layers) {
      pen.globalAlpha = opacity;
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
    }
    return pen.getImageData(0, 0, 1, 1).data;
  };
  const luminance = ([...rgba]) => {
    const [r, g, b] = rgba.map(of255 => of255 / 255)
      .map(share => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const sheet = document.body.appendChild(document.createElement('div'));
  sheet.style.background = 'Canvas';
  const paper = getComputedStyle(sheet).backgroundColor;
  sheet.remove();
  const told = [];
  const look = (element, text, colour) => {
    const styles = [];
    for (let at = element; at; at = at.parentElement) styles.unshift(getComputedStyle(at));
    const behind = [[paper, 1], ...styles.map(style => [style.backgroundColor, 1])];
    const opacity = styles.reduce((share, style) => share * style.opacity, 1);
    const ratio = contrast(shown([...behind, [colour, opacity]]), shown(behind));
    const { fontSize, fontWeight } = styles.at(-1), px = parseFloat(fontSize);
    const least = px >= 24 || (px >= 18.66 && fontWeight >= 700) ? 3 : 4.5;
    if (ratio < least) told.push(`${element.tagName} .${element.className} "${text}" ${ratio.toFixed(2)}`);
  };
  let texts = 0;
  for (const element of document.querySelectorAll('body *')) {
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.matches(':disabled, script, style')) continue;
    const own = [...element.childNodes].map(node => node.nodeType === Node.TEXT_NODE ? node.data : '').join('');
    const text = own.trim() || (element.matches(WRITTEN_IN) ? element.value : '');
    if (text) {
      look(element, text.slice(0, 40), getComputedStyle(element).color);
      texts += 1;
    }
    if (element.placeholder) look(element, element.placeholder, getComputedStyle(element, '::placeholder').color);
  }
  const root = getComputedStyle(document.documentElement);
  for (const name of names) look(document.body, name, root.getPropertyValue(name));
  return texts ? told : ['no text at all'];
})(%s)"""


async def pale(browser: Browser, *names: str) -> list[str]:
    """Returns the texts that are too pale, and those of these names in its style sheet that are so as text."""
    told: list[str] = await browser.evaluate(PALE % json.dumps(names))
    return told
