// Which of a service's histograms a response is recorded in: one for each class of routes and outcome. The service's own is their sum.
import { METHOD } from '../http/methods.js';

/** Until services have routes, requests are of one class or another by what they are. */
export const ROUTE_CLASSES = ['read', 'write', 'grpc'] as const;
export const ROUTE_CLASS = { READ: 0, WRITE: 1, GRPC: 2 } as const;
/** As Linkerd classifies responses: a failure is a status 5xx, or a `grpc-status` that isGrpcFailure knows. */
export const OUTCOMES = ['success', 'failure'] as const;
export const RESPONSE_CELLS = ROUTE_CLASSES.length * OUTCOMES.length;

/** Place in ROUTE_CLASSES of a request with this METHOD. Reads are those that are safe (RFC 9110 section 9.2.1), but for TRACE. */
export function routeClassOf(method: number, grpc: boolean): number {
  if (grpc) return ROUTE_CLASS.GRPC;
  const reads = method === METHOD.GET || method === METHOD.HEAD || method === METHOD.OPTIONS;
  return reads ? ROUTE_CLASS.READ : ROUTE_CLASS.WRITE;
}

/** The cell of a class of routes and an outcome, for `serviceHistogram`. */
export const responseCell = (routeClass: number, failed: boolean): number =>
  routeClass * OUTCOMES.length + (failed ? 1 : 0);

/** What the cells are called in labels, by their number. */
export const CELL_LABELS: readonly { readonly route_class: string; readonly classification: string }[] =
  ROUTE_CLASSES.flatMap((routeClass) =>
    OUTCOMES.map((classification) => ({ route_class: routeClass, classification })),
  );
