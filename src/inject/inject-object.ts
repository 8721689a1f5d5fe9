// Any object of a manifest, made ready for the mesh: annotated, so that the webhook gives its pods a proxy, or with the proxy written out.
import { INJECT_NAMES, LINKERD_PREFIX, OWN_PREFIX, PREFIXES, type Setting } from './annotations.js';
import { type InjectionContext, injectPod, injectService, serviceProblems } from './inject-pod.js';
import { asMap, at, type PlainMap, textsOf, withAt, withEntries } from './plain.js';
import type { InjectProblem } from './problem.js';
import type { RefusalReason } from './refusals.js';
import { roleOf } from './workloads.js';

export interface ObjectWish {
  /** Written out, rather than left to the webhook. */
  readonly manual: boolean;
  readonly word: 'enabled' | 'ingress';
  /** Annotations that the command line asks for, by their whole keys. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly context: InjectionContext;
}

export interface ObjectReport {
  readonly object: PlainMap;
  readonly result: 'injected' | 'annotated' | 'unchanged' | 'skipped';
  readonly reason: RefusalReason | 'other-kind' | null;
  /** Why it is not injected; empty where it is. */
  readonly message: string;
  readonly problems: readonly InjectProblem[];
}

const OTHER = 'nothing in it to inject';

/** Keys as the object has them already: a key of ours that is there wins over Linkerd's, so that it is the one to change. */
function keysFor(object: PlainMap, wanted: Readonly<Record<string, string>>): PlainMap {
  const there = textsOf(at(object, ['metadata', 'annotations']));
  const added: Record<string, string> = {};
  for (const [key, value] of Object.entries(wanted)) {
    const prefix = PREFIXES.find((known) => key.startsWith(known));
    const all = prefix === undefined ? INJECT_NAMES : PREFIXES.map((known) => known + key.slice(prefix.length));
    added[all.find((known) => Object.hasOwn(there, known)) ?? key] = value;
  }
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

function injectTemplate(object: PlainMap, path: readonly string[], wish: ObjectWish): ObjectReport {
  const template = asMap(at(object, path));
  const { manual, word, context } = wish;
  const asks = manual ? {} : { 'linkerd.io/inject': word };
  // A refusal must not hide behind the annotation that is about to be written.
  const said = INJECT_NAMES.some((name) => at(template, ['metadata', 'annotations', name]) === 'disabled');
  const ready = said ? template : annotated(template, { ...asks, ...wish.annotations });
  const { pod, refusal, problems } = injectPod(ready, { ...context, asked: true });
  if (pod === null) return skipped(object, refusal.reason, refusal.message);
  const after = manual ? pod : ready;
  const whole = after === template ? object : path.length === 0 ? after : withAt(object, path, after);
  if (!manual) return { ...report(object, whole, problems), result: whole === object ? 'unchanged' : 'injected' };
  return { object: whole, result: 'injected', reason: null, message: '', problems };
}

const isOpaque = (key: string): boolean => PREFIXES.some((prefix) => key === `${prefix}opaque-ports`);

function injectServiceObject(object: PlainMap, { annotations, manual, context }: ObjectWish): ObjectReport {
  const wanted = Object.fromEntries(Object.entries(annotations).filter(([key]) => isOpaque(key)));
  const own = Object.keys(wanted).length > 0 ? annotated(object, wanted) : null;
  const after = own ?? (manual ? injectService(object, context.namespaceAnnotations) : null);
  const problems = serviceProblems(after ?? object);
  return after === null ? { ...skipped(object, 'other-kind', OTHER), problems } : report(object, after, problems);
}

/** One object of a manifest; lists are taken apart before. */
export function injectObject(object: PlainMap, wish: ObjectWish): ObjectReport {
  const role = roleOf(object);
  switch (role.kind) {
    case 'pods':
      return injectTemplate(object, role.path, wish);
    case 'service':
      return injectServiceObject(object, wish);
    case 'namespace': {
      const said = INJECT_NAMES.find((name) => at(object, ['metadata', 'annotations', name]) === 'disabled');
      if (said !== undefined) return skipped(object, 'disabled', `${said} is disabled`);
      return report(object, annotated(object, { 'linkerd.io/inject': wish.word, ...wish.annotations }));
    }
    case 'other':
      return skipped(object, 'other-kind', OTHER);
  }
}

/** The key that the command line writes for a setting: Linkerd's, but of those that only ours counts of. */
export function keyOf(name: Setting | string, own: boolean): string {
  if (own) return OWN_PREFIX + name;
  return (name === 'proxy-wait-before-exit-seconds' ? 'config.alpha.linkerd.io/' : LINKERD_PREFIX) + name;
}
