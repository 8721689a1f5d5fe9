// What a cluster's view does not understand of an object, as an event on it.
import type { ObjectProblem } from '../kubernetes/object-problems.js';
import type { ObjectEvent } from './events.js';

export function eventOf({ kind, namespace, name, uid, field, message }: ObjectProblem): ObjectEvent {
  // Events are in namespaces; those on what is in none are in `default`.
  const object = { apiVersion: 'v1', kind, namespace: kind === 'Namespace' ? 'default' : namespace, name, uid };
  return { object, type: 'Warning', reason: 'SluiceIgnored', message: `${field}: ${message}` };
}
