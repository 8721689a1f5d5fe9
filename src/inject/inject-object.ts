// Prepares any object of a manifest for the mesh: annotates it, so that the webhook injects its pods, or adds the proxy itself.
import { INJECT_NAMES, settingKeys } from '../kubernetes/names.js';
import { keysOf, named } from './annotations.js';
import { type InjectionContext, injectPod, layersOf, namespaceLayer } from './inject-pod.js';
import { Layers } from './layers.js';
import { asMap, type PlainMap, textOf, textsOf, valueAt, withEntries, withValueAt } from './plain.js';
import { podView } from './pod.js';
import type { InjectProblem } from './problem.js';
import { notRequested, type RefusalReason } from './refusals.js';
import { injectService, serviceProblems } from './service.js';
import { readSettings } from './settings.js';
import { shapeProblem, unquoted } from './shape.js';
import { roleOf, templateOf } from './workloads.js';

export interface ObjectOptions {
  /** Adds the proxy itself, rather than leaving that to the webhook. */
  readonly manual: boolean;
  readonly word: 'enabled' | 'ingress';
  /** Annotations from the command line, by full key. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly context: InjectionContext;
}

export interface ObjectReport {
  readonly object: PlainMap;
  readonly result: 'injected' | 'annotated' | 'unchanged' | 'skipped';
  readonly reason: RefusalReason | 'other-kind' | 'malformed' | null;
  /** Why it is not injected; empty if it is. */
  readonly message: string;
  readonly problems: readonly InjectProblem[];
}

const OTHER = 'nothing in it to inject';
const ASKS = 'linkerd.io/inject';

/** All annotations equivalent to `key`, the most important first. */
function sameAs(key: string): readonly string[] {
  if (INJECT_NAMES.some((name) => name === key)) return INJECT_NAMES;
  const parts = named(key);
  const keys = parts === null ? [] : keysOf(parts.name);
  return keys.includes(key) ? keys : [key];
}

/** Keys already used by the object: of several equivalent ones, the deciding one is changed. */
function keysFor(object: PlainMap, wanted: Readonly<Record<string, string>>): PlainMap {
  const there = textsOf(valueAt(object, ['metadata', 'annotations']));
  const added: Record<string, string> = {};
  for (const [key, value] of Object.entries(wanted))
    added[sameAs(key).find((known) => Object.hasOwn(there, known)) ?? key] = value;
  return added;
}

const annotated = (object: PlainMap, wanted: Readonly<Record<string, string>>): PlainMap =>
  withEntries(object, ['metadata', 'annotations'], keysFor(object, wanted));

function report(before: PlainMap, object: PlainMap, problems: readonly InjectProblem[] = []): ObjectReport {
  return object === before
    ? { object, result: 'unchanged', reason: null, message: 'it has these annotations already', problems }
    : { object, result: 'annotated', reason: null, message: '', problems };
}

const skipped = (object: PlainMap, reason: ObjectReport['reason'], message: string): ObjectReport => ({
  object,
  result: 'skipped',
  reason,
  message,
  problems: [],
});

function injectTemplate(object: PlainMap, path: readonly string[], wish: ObjectOptions): ObjectReport {
  const template = asMap(valueAt(object, path));
  const { manual, word, context } = wish;
  // An explicit "no" must not be hidden by the new annotation.
  const no = notRequested(layersOf(podView(template), context));
  if (no?.reason === 'disabled') return skipped(object, no.reason, no.message);
  const ready = annotated(template, { ...(manual ? {} : { [ASKS]: word }), ...wish.annotations });
  const { pod, refusal, problems } = injectPod(ready, { ...context, asked: true });
  if (pod === null) return skipped(object, refusal.reason, refusal.message);
  const after = manual ? pod : ready;
  const whole = after === template ? object : path.length === 0 ? after : withValueAt(object, path, after);
  const told = [...unquoted(valueAt(template, ['metadata', 'annotations']), 'the pod'), ...problems];
  if (!manual) return { ...report(object, whole, told), result: whole === object ? 'unchanged' : 'injected' };
  return { object: whole, result: 'injected', reason: null, message: '', problems: told };
}

function injectServiceObject(object: PlainMap, { annotations, manual, context }: ObjectOptions): ObjectReport {
  const opaque = settingKeys('opaque-ports');
  const wanted = Object.fromEntries(Object.entries(annotations).filter(([key]) => opaque.includes(key)));
  const own = Object.keys(wanted).length > 0 ? annotated(object, wanted) : null;
  const after = own ?? (manual ? injectService(object, context.namespaceAnnotations) : null);
  const told = unquoted(valueAt(object, ['metadata', 'annotations']), 'the Service');
  const problems = [...told, ...serviceProblems(own ?? object, true)];
  return after === null ? { ...skipped(object, 'other-kind', OTHER), problems } : report(object, after, problems);
}

function injectNamespace(object: PlainMap, { word, annotations }: ObjectOptions): ObjectReport {
  const name = textOf(valueAt(object, ['metadata', 'name']));
  const layerOf = (namespace: PlainMap) =>
    namespaceLayer(name, textsOf(valueAt(namespace, ['metadata', 'annotations'])));
  const no = notRequested([layerOf(object)]);
  if (no?.reason === 'disabled') return skipped(object, no.reason, no.message);
  const after = annotated(object, { [ASKS]: word, ...annotations });
  // A namespace's settings apply to pods without their own, so they are read as theirs would be.
  const layers = new Layers([layerOf(after)], new Map());
  readSettings(layers);
  layers.tellOthers();
  const { object: title } = layerOf(object);
  return report(object, after, [...unquoted(valueAt(object, ['metadata', 'annotations']), title), ...layers.problems]);
}

/** Processes one object; lists are split before. */
export function injectObject(object: PlainMap, wish: ObjectOptions): ObjectReport {
  const role = roleOf(object);
  if (role.kind !== 'other') {
    const wrong = shapeProblem(object, role.kind === 'pods' ? role.path : null);
    if (wrong !== null) return skipped(object, 'malformed', wrong);
  }
  switch (role.kind) {
    case 'pods':
      return injectTemplate(object, role.path, wish);
    case 'service':
      return injectServiceObject(object, wish);
    case 'namespace':
      return injectNamespace(object, wish);
    case 'other':
      return skipped(object, 'other-kind', otherKind(object));
  }
}

/** The pods of unknown controllers may be expected to get a proxy. */
function otherKind(object: PlainMap): string {
  const template = templateOf(object);
  if (template === null) return OTHER;
  const kind = `${textOf(object.kind)} of ${textOf(object.apiVersion)}`;
  return `${kind} is not a kind that Sluice changes; its pods get a proxy if ${template}.metadata.annotations, or their namespace, has ${ASKS}: enabled`;
}
