// The cell of a service's histogram in which a response is recorded: one for each route class and outcome. The service's own histogram is
// their sum.
import { METHOD } from '../http/methods.js';

/** Until services have routes, a request's class depends on its method and content type. */
export const ROUTE_CLASSES = ['read', 'write', 'grpc'] as const;
export const ROUTE_CLASS = { READ: 0, WRITE: 1, GRPC: 2 } as const;
/** Linkerd's classification: a failure is a status 5xx, or a `grpc-status` for which isGrpcFailure is true. */
export const OUTCOMES = ['success', 'failure'] as const;
export const RESPONSE_CELLS = ROUTE_CLASSES.length * OUTCOMES.length;

/** Index into ROUTE_CLASSES for a request with this METHOD. Reads are the safe methods (RFC 9110 section 9.2.1) except TRACE. */
export function routeClassOf(method: number, grpc: boolean): number {
  if (grpc) return ROUTE_CLASS.GRPC;
  const reads = method === METHOD.GET || method === METHOD.HEAD || method === METHOD.OPTIONS;
  return reads ? ROUTE_CLASS.READ : ROUTE_CLASS.WRITE;
}

/** The cell of a route class and an outcome, for `serviceHistogram`. */
export const responseCell = (routeClass: number, failed: boolean): number =>
  routeClass * OUTCOMES.length + (failed ? 1 : 0);

/** Labels of the cells, by number. */
export const CELL_LABELS: readonly { readonly route_class: string; readonly classification: string }[] =
  ROUTE_CLASSES.flatMap((routeClass) =>
    OUTCOMES.map((classification) => ({ route_class: routeClass, classification })),
  );
