// Makes elements. Data from the proxy enters the page as text, never as markup, because strangers choose names.

export type Child = Node | string;

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/** Writes only changed text, so that a selection stays and the browser has no needless layout to do. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}
