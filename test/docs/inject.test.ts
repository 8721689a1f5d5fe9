// docs/inject.md has the annotations that there are, and its examples of manifests and commands work.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultOpaquePorts } from '../../src/config/ports.js';
import { ANNOTATIONS, OWN_ANNOTATIONS, UNSUPPORTED_ANNOTATIONS } from '../../src/inject/annotations.js';
import { DEFAULT_ANNOTATIONS } from '../../src/inject/installation.js';
import { REFUSALS } from '../../src/inject/refusals.js';
import { parsePortList } from '../../src/redirect/port-list.js';
import { fences, page } from './fences.js';

const text = page('docs/inject.md');

/** Cells of the rows below a heading of a table. */
function rows(head: string): string[][][] {
  return text
    .split(`\n| ${head} |\n`)
    .slice(1)
    .map((rest) =>
      rest
        .split('\n\n', 1)[0]
        .split('\n')
        .slice(1)
        .map((line) =>
          line
            .split('|')
            .map((cell) => cell.trim().replaceAll('`', ''))
            .slice(1, -1),
        ),
    );
}

describe('docs/inject.md', () => {
  it('has each annotation, with what it takes', () => {
    const [all, own] = rows('annotation | takes | what it does');
    const takes = (table: Readonly<Record<string, { readonly takes: string }>>): string[][] =>
      Object.entries(table).map(([name, meaning]) => [name, meaning.takes]);
    const written = (table: readonly string[][]): string[][] => table.map(([name, what]) => [name, what]);
    assert.deepEqual(written(all), takes(ANNOTATIONS));
    assert.deepEqual(written(own), takes(OWN_ANNOTATIONS));
  });

  it('says of those that mean nothing what the program says', () => {
    const [table] = rows('annotation | instead');
    assert.deepEqual(
      table.map(([name]) => name),
      Object.keys(UNSUPPORTED_ANNOTATIONS),
    );
    for (const [name, said] of table) {
      const { instead, matters } = UNSUPPORTED_ANNOTATIONS[name];
      const sentence = `${instead[0].toUpperCase()}${instead.slice(1)}.${matters === true ? ' This one is a warning.' : ''}`;
      assert.equal(said, sentence, name);
    }
  });

  it('has the reasons why a pod gets no proxy', () => {
    const [table] = rows('reason | why');
    const chosen = ['disabled', 'not-asked'];
    assert.deepEqual(table.map(([name]) => name).sort(), REFUSALS.filter((it) => !chosen.includes(it)).sort());
  });

  it('has the defaults that hold', () => {
    const [all] = rows('annotation | takes | what it does');
    for (const [key, value] of Object.entries(DEFAULT_ANNOTATIONS)) {
      const row = all.find(([name]) => key.endsWith(`/${name}`));
      assert.ok(row?.[2].includes(`Default: ${value}.`), key);
    }
    assert.ok(text.includes(`Default: ${defaultOpaquePorts.join(',')}.`));
  });

  it('has lists of ports that are such', () => {
    const lists = fences(text)
      .filter(({ info }) => info === 'yaml')
      .flatMap(({ text: yaml }) => [...yaml.matchAll(/opaque-ports: "\+?([^"]*)"/g)].map(([, list]) => list));
    assert.ok(lists.length >= 4);
    for (const list of lists) assert.deepEqual(parsePortList(list).problems, []);
  });
});
