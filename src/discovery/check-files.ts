// Finds all errors in the files of endpoints that a configuration names, for `sluice check`.
import { relative } from 'node:path';
import type { LoadedConfig } from '../config/load.js';
import type { EndpointSource } from '../config/model.js';
import { ConfigError, formatPath, type KeyPath, type Problem } from '../config/problem.js';
import { type EndpointLists, parseEndpointFile, selectList } from './endpoint-file.js';
import { FileProblem, readFile } from './read-file.js';

type FileSpec = Extract<EndpointSource, { kind: 'file' }>;

/** The shortest way to write a path from here. */
function shortName(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}

/** Configuration key of a file's name: a file stands alone, or in a list. */
function keyOf(tree: unknown, service: string, index: number, key: 'file' | 'key'): KeyPath {
  const { services } = tree as { services: Readonly<Record<string, { endpoints: unknown }>> };
  const path = ['services', service, 'endpoints'];
  return Array.isArray(services[service].endpoints) ? [...path, index, key] : [...path, key];
}

/** `file` is the configuration as the user named it: an unreadable file is an error of the key that names it. */
export function endpointFileProblems(file: string, { config, tree, locate }: LoadedConfig): Problem[] {
  const problems: Problem[] = [];
  /** Unreadable files: each is reported once, however many services name it. */
  const reported = new Set<string>();
  const read = new Map<string, EndpointLists | FileProblem | null>();
  const listsOf = (path: string): EndpointLists | FileProblem | null => {
    try {
      return parseEndpointFile(shortName(path), readFile(path, config.discovery.maxFileBytes).text);
    } catch (error) {
      if (error instanceof FileProblem) return error;
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return null;
    }
  };
  const check = (source: FileSpec, service: string, index: number): void => {
    if (!read.has(source.path)) read.set(source.path, listsOf(source.path));
    const lists = read.get(source.path) ?? null;
    if (lists === null) return;
    if (lists instanceof FileProblem) {
      if (reported.has(source.path)) return;
      reported.add(source.path);
    }
    const list = lists instanceof FileProblem ? lists.message : selectList(lists, source.key);
    if (typeof list !== 'string') return;
    const key = keyOf(tree, service, index, lists instanceof FileProblem || source.key === null ? 'file' : 'key');
    problems.push({ file, ...locate(key), path: formatPath(key), message: `${shortName(source.path)} ${list}` });
  };
  for (const { name, endpoints } of config.services) {
    for (const [index, source] of endpoints.entries()) if (source.kind === 'file') check(source, name, index);
  }
  return problems;
}
