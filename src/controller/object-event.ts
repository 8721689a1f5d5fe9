// An event for unintelligible content of an object.
import type { ObjectProblem } from '../kubernetes/object-problems.js';
import type { ObjectEvent } from './events.js';

export function eventOf({ kind, namespace, name, uid, field, message }: ObjectProblem): ObjectEvent {
  // Events are namespaced; those on objects without a namespace are in `default`.
  const object = { apiVersion: 'v1', kind, namespace: kind === 'Namespace' ? 'default' : namespace, name, uid };
  return { object, type: 'Warning', reason: 'SluiceIgnored', message: `${field}: ${message}` };
}
