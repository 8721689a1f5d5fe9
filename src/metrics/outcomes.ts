// Classification of responses, those of endpoints and the proxy's own, as success or failure.
import { CLIENT_REASONS, RESPONSE_REASONS } from '../http/response-reasons.js';
import { countOf } from './histogram.js';
import { E, GRPC_CODES, isGrpcFailure, S } from './layout.js';

/** Whether a response is a failure: a status 5xx, of gRPC a status that isGrpcFailure names or none at all (code -1). */
export function isFailedResponse(status: number, grpc: boolean, grpcStatus: number): boolean {
  if (grpc && status === 200) return grpcStatus < 0 || grpcStatus >= GRPC_CODES || isGrpcFailure(grpcStatus);
  return status >= 500 && status < 600;
}

export interface Outcomes {
  readonly successes: number;
  readonly failures: number;
}

/** Responses of an endpoint, from its fields: successes as in response_total, and the others. */
export function endpointOutcomes(values: Float64Array): Outcomes {
  let successes = countOf(values.subarray(E.STATUS, E.STATUS + 400)) + values[E.STATUS_BEYOND];
  let failures = countOf(values.subarray(E.STATUS + 400, E.STATUS + 500)) + values[E.GRPC_MISSING];
  for (let code = 0; code < GRPC_CODES; code++) {
    if (isGrpcFailure(code)) failures += values[E.GRPC_STATUS + code];
    else successes += values[E.GRPC_STATUS + code];
  }
  return { successes, failures };
}

/** The proxy's own responses for a service: refusals caused by the client are not failures of the service. */
export function refusalOutcomes(values: Float64Array): Outcomes {
  let successes = 0;
  let failures = 0;
  RESPONSE_REASONS.forEach((reason, index) => {
    if (CLIENT_REASONS.has(reason)) successes += values[S.RESPONSE + index];
    else failures += values[S.RESPONSE + index];
  });
  return { successes, failures };
}
