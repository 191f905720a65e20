// What a reader of the page sees, as plain values. Everything that can be unfolded has been unfolded before.
const CANVAS = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
const SHAPES = "path, rect, circle, ellipse, line, polygon, polyline, use";

const rgba = (text) => {
  const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
  return [red, green, blue, alpha];
};

const over = (top, under) => [
  ...[0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])),
  1,
];

const luminance = (color) => {
  const [red, green, blue] = color.slice(0, 3).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

// https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
const contrast = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};

const ancestors = (element) => {
  const found = [];
  for (let one = element; one; one = one.parentElement) found.push(one);
  return found;
};

const painted = (style) => [style.fill, style.stroke].filter((paint) => paint !== "none" && rgba(paint)[3] > 0);

// Shapes of the same picture that lie under this place, the topmost first.
const shapesUnder = (element, x, y) => {
  const picture = element.ownerSVGElement;
  if (!picture) return [];
  return document.elementsFromPoint(x, y).filter((one) => one.matches(SHAPES) && picture.contains(one));
};

const shapeColor = (shape) => {
  const style = getComputedStyle(shape);
  if (style.fill === "none") return [0, 0, 0, 0];
  const color = rgba(style.fill);
  color[3] *= style.fillOpacity * style.opacity;
  return color;
};

const background = (element, x, y) => {
  const layers = shapesUnder(element, x, y).map(shapeColor);
  for (const one of ancestors(element)) layers.push(rgba(getComputedStyle(one).backgroundColor));
  return layers.reverse().reduce((under, layer) => over(layer, under), CANVAS);
};

const textNodes = () => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (node.data.trim() && box.width && box.height) found.push([node, box]);
  }
  return found;
};

const seenText = ([node, box]) => {
  const element = node.parentElement;
  const style = getComputedStyle(element);
  const behind = background(element, box.x + box.width / 2, box.y + box.height / 2);
  const ink = rgba(element.ownerSVGElement ? style.fill : style.color);
  for (const one of ancestors(element)) ink[3] *= getComputedStyle(one).opacity;
  const { a, b } = element.ownerSVGElement ? element.getScreenCTM() : { a: 1, b: 0 };
  return {
    text: node.data.trim().slice(0, 80),
    contrast: contrast(over(ink, behind), behind),
    pixels: parseFloat(style.fontSize) * Math.hypot(a, b),
    code: Boolean(element.closest("pre, code")),
  };
};

const common = (one, other) => {
  const width = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const height = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  return Math.max(0, width) * Math.max(0, height);
};

const area = (box) => box.width * box.height;

// Texts of a picture of which a part is outside of it or under another text; boxes of lines touch, so a little is none.
const covered = (picture) => {
  const room = getComputedStyle(picture).overflow === "visible" ? document.body : picture;
  const texts = [...picture.querySelectorAll("text")].map((one) => [one.textContent, one.getBoundingClientRect()]);
  const frame = room.getBoundingClientRect();
  const isCovered = ([text, box], i) =>
    common(box, frame) < 0.95 * area(box) || texts.some(([, other], j) => j < i && common(box, other) > 0.2 * area(box));
  return texts.filter(isCovered).map(([text]) => text);
};

// Colours of the curves, dots and bars of a chart, with how they stand out; what is faint is meant to be.
const curves = (picture) => {
  const behind = background(picture.parentElement);
  const paints = [...picture.querySelectorAll("[id^=line2d] path, [id^=line2d] use, [id^=patch] path")].flatMap((mark) => {
    const { opacity, strokeOpacity, fillOpacity, stroke, fill } = getComputedStyle(mark);
    return mark.closest("defs") || opacity * strokeOpacity * fillOpacity < 1 ? [] : [stroke, fill];
  });
  const colors = [...new Set(paints)].filter((paint) => paint !== "none");
  return colors.map((color) => ({ color, contrast: contrast(rgba(color), behind) }));
};

const seenPicture = (picture) => {
  const box = picture.getBoundingClientRect();
  const ink = getComputedStyle(picture).color;
  const marks = [...picture.querySelectorAll(SHAPES)].filter((mark) => {
    const { width, height } = mark.getBoundingClientRect();
    return !mark.closest("defs, clipPath") && (width || height) && painted(getComputedStyle(mark)).length;
  });
  const attributes = [picture, ...picture.querySelectorAll("*")].flatMap((one) => [...one.attributes]);
  return {
    name: picture.getAttribute("aria-label") || "",
    box: [box.x, box.y, box.width, box.height],
    covered: covered(picture),
    curves: curves(picture),
    colored: marks.filter((mark) => painted(getComputedStyle(mark)).some((paint) => paint !== ink)).length,
    notNumbers: attributes.filter((one) => /\b(NaN|nan|inf|Infinity|undefined)\b/.test(one.value)).map((one) => one.value),
  };
};

return {
  texts: textNodes().map(seenText),
  pictures: [...document.querySelectorAll("svg, canvas, img")].map(seenPicture),
  paper: luminance(background(document.body, 0, 0)),
};
