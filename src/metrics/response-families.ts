// Responses by HTTP and gRPC status.
import { type Family, requestLabels, type Sample, serviceLabels } from './family.js';
import { E, GRPC_CODES, isGrpcFailure, S } from './layout.js';

export const RESPONSE_FAMILY: Family = {
  name: 'response_total',
  type: 'counter',
  help: 'Responses of endpoints; failures are 5xx and, for gRPC, the statuses 2, 4, 7, 13, 14, 15 and a missing status',
  samples: (snapshot) =>
    snapshot.endpoints.flatMap((series) => {
      const samples: Sample[] = [];
      const sharedLabels = requestLabels(series);
      for (let code = 100; code < 600; code++) {
        const value = series.values[E.STATUS + code - 100];
        if (value === 0) continue;
        const labels = { status_code: String(code), classification: code < 500 ? 'success' : 'failure' };
        samples.push({ value, labels, sharedLabels });
      }
      const beyond = series.values[E.STATUS_BEYOND];
      if (beyond > 0)
        samples.push({ value: beyond, labels: { status_code: 'other', classification: 'success' }, sharedLabels });
      for (const { grpc_status, value } of grpcCounts(series.values, E.GRPC_STATUS, E.GRPC_MISSING)) {
        const failed = grpc_status === MISSING || isGrpcFailure(Number(grpc_status));
        const labels = { status_code: '200', classification: failed ? 'failure' : 'success', grpc_status };
        samples.push({ value, labels, sharedLabels });
      }
      return samples;
    }),
};

/** Value of the label `grpc_status` if there was none. */
const MISSING = 'missing';

/** Counts by grpc-status, with the code as a number as in Linkerd's label. */
function grpcCounts(values: Float64Array, at: number, missing: number): { grpc_status: string; value: number }[] {
  const counts = Array.from({ length: GRPC_CODES }, (_, code) => ({
    grpc_status: `${code}`,
    value: values[at + code],
  }));
  counts.push({ grpc_status: MISSING, value: values[missing] });
  return counts.filter(({ value }) => value !== 0);
}

export const GRPC_FAMILY: Family = {
  name: 'sluice_grpc_responses_total',
  type: 'counter',
  help: 'gRPC calls by the status that the client received, from an endpoint or from the proxy itself',
  samples: (snapshot) =>
    snapshot.services.flatMap((series) =>
      grpcCounts(series.values, S.GRPC_STATUS, S.GRPC_MISSING).map(({ grpc_status, value }) => ({
        value,
        labels: { grpc_status },
        sharedLabels: serviceLabels(series),
      })),
    ),
};
