"""How much a text stands out from what lies behind it, as WCAG 2 reckons it."""

from __future__ import annotations

LEAST = 4.5
"""The contrast of text that WCAG 2 asks for at level AA."""

# Each text with its colour and all that lies behind it, as three numbers and an opacity.
TEXTS = """
() => {
  const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const found = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || element.closest("script, style, [disabled]") || !element.checkVisibility()) continue;
    const behind = [];
    for (let at = element; at; at = at.parentElement) behind.push(numbers(getComputedStyle(at).backgroundColor));
    const colour = numbers(getComputedStyle(element).color);
    found.set(JSON.stringify([colour, behind]), [text, colour, behind]);
  }
  return [...found.values()];
}
"""


def contrast(colour: list[float], behind: list[list[float]]) -> float:
    """The contrast of a text as WCAG 2 reckons it."""
    ground = [255.0, 255.0, 255.0]
    for layer in reversed(behind):
        opacity = layer[3] if len(layer) > 3 else 1.0
        ground = [opacity * over + (1 - opacity) * under for over, under in zip(layer[:3], ground, strict=True)]
    light, dark = sorted((luminance(colour[:3]), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: list[float]) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (value / 255 for value in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
