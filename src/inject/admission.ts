// Reviews of objects before they are stored: AdmissionReview of admission.k8s.io/v1, called by API servers. Pods get a proxy, Services
// their namespace's opaque ports. Nothing is ever refused because of us: an object that is not injected stays as it is.
import { type InjectionContext, injectPod } from './inject-pod.js';
import type { Installation } from './installation.js';
import { jsonPatch } from './json-patch.js';
import { asMap, isMap, type PlainMap, textOf } from './plain.js';
import { type InjectProblem, problemText } from './problem.js';
import type { RefusalReason } from './refusals.js';
import { injectService, serviceProblems } from './service.js';

export interface AdmissionContext {
  readonly mesh: Installation;
  /** Annotations of a namespace; null if unknown. */
  readonly namespaceAnnotations: (namespace: string) => Readonly<Record<string, string>> | null;
}

/** What was done, for metrics and events. */
export interface Outcome {
  readonly kind: 'Pod' | 'Service' | 'other';
  readonly namespace: string;
  /** Empty if the API server is still to generate one. */
  readonly name: string;
  /** The object for events: the pod's controller, or else the pod. */
  readonly owner: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly uid: string;
  } | null;
  readonly result: 'injected' | 'skipped';
  readonly reason: RefusalReason | 'not-reviewed' | 'unchanged' | null;
  readonly message: string;
  readonly problems: readonly InjectProblem[];
  /** Nothing will be stored. */
  readonly dryRun: boolean;
}

export type Reviewed =
  | { readonly answer: PlainMap; readonly outcome: Outcome }
  /** It can't be answered with a review: a Status with code 400 instead. */
  | { readonly answer: PlainMap; readonly outcome: null };

const VERSION = 'admission.k8s.io/v1';
/** Longer warnings may be cut off by API servers (120 characters are recommended, 256 the limit). */
const MAX_WARNING_LENGTH = 256;
const MAX_WARNINGS = 20;

/** RFC 6902 as a review carries it. */
const encoded = (patch: readonly unknown[]): string => Buffer.from(JSON.stringify(patch)).toString('base64');

const status = (message: string): PlainMap => ({
  apiVersion: 'v1',
  kind: 'Status',
  metadata: {},
  status: 'Failure',
  message,
  reason: 'BadRequest',
  code: 400,
});

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
};

/** The problem with a review, as far as it must be valid to be answered. */
function invalidObject(review: unknown): string | null {
  if (!isMap(review)) return `found ${shown(review)}; this port takes an AdmissionReview`;
  const { kind, apiVersion, request } = review;
  if (kind !== 'AdmissionReview') return `kind is ${shown(kind)}; this port takes an AdmissionReview`;
  if (apiVersion !== VERSION)
    return `apiVersion is ${shown(apiVersion)}; this port takes ${VERSION} (admissionReviewVersions: ["v1"] in the webhook's configuration)`;
  if (!isMap(request)) return `request is ${shown(request)}; it must be an object`;
  if (textOf(request.uid) === '') return 'request.uid is missing; the answer must repeat it';
  return null;
}

const warningsOf = (problems: readonly InjectProblem[]): readonly string[] =>
  problems
    .filter(({ severity }) => severity === 'warning')
    .slice(0, MAX_WARNINGS)
    .map((problem) => `sluice: ${problemText(problem)}`.slice(0, MAX_WARNING_LENGTH));

function ownerOf(object: PlainMap): Outcome['owner'] {
  const references = asMap(object.metadata).ownerReferences;
  const owner = Array.isArray(references) ? references.find((it) => isMap(it) && it.controller === true) : undefined;
  if (!isMap(owner)) return null;
  const { apiVersion, kind, name, uid } = owner;
  return { apiVersion: textOf(apiVersion), kind: textOf(kind), name: textOf(name), uid: textOf(uid) };
}

interface Decision {
  /** The changed object; null: unchanged. */
  readonly object: PlainMap | null;
  readonly reason: Outcome['reason'];
  readonly message: string;
  readonly problems: readonly InjectProblem[];
}

const left = (reason: Outcome['reason'], message: string): Decision => ({
  object: null,
  reason,
  message,
  problems: [],
});

function decide(request: PlainMap, object: PlainMap, context: AdmissionContext): Decision {
  const kind = asMap(request.kind);
  const namespace = textOf(request.namespace);
  const namespaceAnnotations = context.namespaceAnnotations(namespace) ?? {};
  const operation = textOf(request.operation);
  if (kind.group !== '' && kind.group !== undefined) return left('not-reviewed', `${shown(kind)} is nothing to inject`);
  if (textOf(request.subResource) !== '') return left('not-reviewed', 'a subresource has nothing to inject');
  if (kind.kind === 'Service' && (operation === 'CREATE' || operation === 'UPDATE')) {
    const service = injectService(object, namespaceAnnotations);
    const problems = serviceProblems(object, false);
    return service === null
      ? { ...left('unchanged', 'its namespace has no opaque ports for it, or it has its own'), problems }
      : { object: service, reason: null, message: 'opaque ports of its namespace', problems };
  }
  if (kind.kind !== 'Pod' || operation !== 'CREATE')
    return left('not-reviewed', `${operation} of ${shown(kind.kind)} has nothing to inject`);
  const whole: InjectionContext = { mesh: context.mesh, namespace, namespaceAnnotations, asked: false };
  const { pod, refusal, problems } = injectPod(object, whole);
  return pod === null
    ? { object: null, reason: refusal.reason, message: refusal.message, problems }
    : { object: pod, reason: null, message: 'injected', problems };
}

/** Answers a review. Never throws. */
export function review(asked: unknown, context: AdmissionContext): Reviewed {
  const wrong = invalidObject(asked);
  if (wrong !== null) return { answer: status(wrong), outcome: null };
  const request = asMap(asMap(asked).request);
  const object = asMap(request.object);
  const decision = decide(request, object, context);
  const patch = decision.object === null ? [] : jsonPatch(object, decision.object);
  const warnings = warningsOf(decision.problems);
  const kind = asMap(request.kind).kind;
  const response = {
    uid: request.uid,
    allowed: true,
    ...(patch.length === 0 ? {} : { patchType: 'JSONPatch', patch: encoded(patch) }),
    ...(warnings.length === 0 ? {} : { warnings }),
  };
  const metadata = asMap(object.metadata);
  return {
    answer: { apiVersion: VERSION, kind: 'AdmissionReview', response },
    outcome: {
      kind: kind === 'Pod' || kind === 'Service' ? kind : 'other',
      namespace: textOf(request.namespace),
      name: textOf(request.name) || textOf(metadata.name),
      owner: ownerOf(object),
      result: patch.length === 0 ? 'skipped' : 'injected',
      reason: decision.reason,
      message: decision.message,
      problems: decision.problems,
      dryRun: request.dryRun === true,
    },
  };
}
