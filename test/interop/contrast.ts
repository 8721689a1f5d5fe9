// How well text stands out from what is behind it (WCAG 2.2, 1.4.3), computed in a page from the styles that hold there.

/** An expression whose value is a list of the texts in the page that stand out too little, and how much they do. */
export const faintTexts = (least: number): string => `(() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, alpha, below) => ({
    r: top.r * alpha + below.r * (1 - alpha),
    g: top.g * alpha + below.g * (1 - alpha),
    b: top.b * alpha + below.b * (1 - alpha),
  });
  /** Colours of a node and of all around it, the outermost first: what is behind, and what its text has there. */
  const colours = (node) => {
    const chain = [];
    for (let at = node; at !== null; at = at.parentElement) chain.unshift(getComputedStyle(at));
    let back = { r: 255, g: 255, b: 255 };
    let opacity = 1;
    for (const style of chain) {
      opacity *= Number(style.opacity);
      const own = parse(style.backgroundColor);
      back = over(own, own.a * opacity, back);
    }
    const own = parse(getComputedStyle(node).color);
    return { back, text: over(own, own.a * opacity, back) };
  };
  const channel = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ({ r, g, b }) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ratio = ({ back, text }) => {
    const [less, more] = [light(back), light(text)].sort((a, b) => a - b);
    return (more + 0.05) / (less + 0.05);
  };
  const faint = [];
  let seen = 0;
  const look = (node, what) => {
    seen++;
    const found = ratio(colours(node));
    if (found < ${least}) faint.push(what + ': ' + found.toFixed(2));
  };
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim() !== '');
    // What can't be used need not stand out (1.4.3); the choices of a list are the browser's.
    if (!own || node.getClientRects().length === 0 || node.closest('script, style, option, :disabled') !== null) continue;
    look(node, node.tagName + ' ' + node.textContent.trim().slice(0, 40));
  }
  // What is drawn has colours of the page.
  for (const name of ['--weak', '--accent', '--second', '--third']) {
    const probe = document.querySelector('.plot').appendChild(document.createElement('span'));
    probe.style.color = 'var(' + name + ')';
    look(probe, 'drawn ' + name);
    probe.remove();
  }
  return { seen, faint };
})()`;
