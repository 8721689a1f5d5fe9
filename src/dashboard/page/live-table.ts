// A table whose rows come and go. Cells change in place, so that focus and selection stay. A click on a header sorts.
import { type Child, element, setText } from './dom.js';

export interface Column<Row> {
  readonly head: string;
  readonly number?: boolean;
  text(row: Row): string;
  /** The sort key, if not the text. */
  by?(row: Row): number | string;
  /** A word for what is wrong with the cell; empty if nothing is. Shown as text and with a sign, not by colour alone. */
  flag?(row: Row): string;
}

export interface TableOptions<Row> {
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly none: string;
  key(row: Row): string;
  /** Whether to keep the order of the rows as received; otherwise they are sorted by name. */
  readonly ordered?: boolean;
}

const MAX_ROWS = 300;

export class LiveTable<Row> {
  private readonly rows = new Map<string, HTMLTableRowElement>();
  private readonly body = element('tbody', { role: 'rowgroup' });
  private readonly none: HTMLParagraphElement;
  private readonly more = element('p', { class: 'none', hidden: '' });
  private readonly table: HTMLTableElement;
  private readonly heads: HTMLTableCellElement[] = [];
  private sorted: { column: number; descending: boolean } | null = null;
  private last: readonly Row[] = [];

  constructor(
    host: HTMLElement,
    private readonly options: TableOptions<Row>,
  ) {
    const { caption, columns, none, ordered } = options;
    const heads = columns.map(({ head, number }, column) => {
      const button = element('button', { type: 'button' }, head);
      button.addEventListener('click', () => this.sort(column));
      const content: Child = ordered === true ? head : button;
      return element('th', { scope: 'col', role: 'columnheader', class: number ? 'number' : '' }, content);
    });
    this.heads.push(...heads);
    // Roles are set explicitly: narrow pages display rows as blocks, and some browsers then drop the table semantics.
    this.table = element(
      'table',
      { role: 'table' },
      element('caption', {}, caption),
      element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...heads)),
      this.body,
    );
    this.none = element('p', { class: 'none' }, none);
    host.append(this.table, this.none, this.more);
    this.update([]);
  }

  update(rows: readonly Row[], omitted = 0): void {
    this.last = rows;
    this.table.hidden = rows.length === 0;
    this.none.hidden = rows.length > 0;
    const shown = this.order(rows).slice(0, MAX_ROWS);
    const left = rows.length - shown.length + omitted;
    this.more.hidden = left === 0;
    setText(this.more, `and ${left} more, with less traffic`);
    const keys = new Set<string>();
    let place: Element | null = this.body.firstElementChild;
    for (const row of shown) {
      const key = this.options.key(row);
      if (keys.has(key)) continue;
      keys.add(key);
      const line = this.rows.get(key) ?? this.add(key);
      this.fill(line, row);
      if (line === place) place = place.nextElementSibling;
      else this.body.insertBefore(line, place);
    }
    for (const [key, line] of this.rows) {
      if (keys.has(key)) continue;
      line.remove();
      this.rows.delete(key);
    }
  }

  private sort(column: number): void {
    const number = this.options.columns[column].number === true;
    const descending = this.sorted?.column === column ? !this.sorted.descending : number;
    this.sorted = { column, descending };
    this.heads.forEach((head, index) => {
      if (index === column) head.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    this.update(this.last);
  }

  private order(rows: readonly Row[]): readonly Row[] {
    if (this.options.ordered === true) return rows;
    const { columns, key } = this.options;
    const { column, descending } = this.sorted ?? { column: -1, descending: false };
    const by = columns[column]?.by ?? columns[column]?.text ?? key;
    const compare = (a: number | string, b: number | string): number => (a < b ? -1 : a > b ? 1 : 0);
    const sign = descending ? -1 : 1;
    return [...rows].sort((a, b) => sign * compare(by(a), by(b)) || compare(key(a), key(b)));
  }

  private add(key: string): HTMLTableRowElement {
    const cells = this.options.columns.map(({ head, number }, index) =>
      index === 0
        ? element('th', { scope: 'row', role: 'rowheader' })
        : element('td', { role: 'cell', 'data-label': head, class: number ? 'number' : '' }),
    );
    const line = element('tr', { role: 'row' }, ...cells);
    this.rows.set(key, line);
    return line;
  }

  private fill(line: HTMLTableRowElement, row: Row): void {
    this.options.columns.forEach(({ text, flag }, index) => {
      const cell = line.cells[index];
      const why = flag?.(row) ?? '';
      const shown = text(row);
      const all = why === '' ? shown : `⚠ ${shown} (${why})`;
      const span = cell.firstChild ?? cell.appendChild(element('span'));
      setText(span, all);
      cell.classList.toggle('flag', why !== '');
      cell.classList.toggle('empty', shown === '' || shown === '–');
    });
  }
}
