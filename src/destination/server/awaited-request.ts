// Waits for the single message of a call. Nothing is kept afterwards: there may be tens of thousands of calls, and each piece of a request
// is part of a much larger buffer.
import type { ServerHttp2Stream } from 'node:http2';
import { CallProblem, RequestReader, STATUS } from './grpc-call.js';

/** `done` gets the message, or the problem; it is not called if the stream ends before. */
export function awaitRequest(
  stream: ServerHttp2Stream,
  { maxMessageBytes, requestMs }: { readonly maxMessageBytes: number; readonly requestMs: number },
  done: (outcome: Buffer | CallProblem) => void,
): void {
  const reader = new RequestReader(maxMessageBytes);
  const finish = (outcome: Buffer | CallProblem | null): void => {
    clearTimeout(late);
    stream.off('data', take).off('end', ended).off('close', closed);
    stream.resume();
    if (outcome !== null) done(outcome);
  };
  const late = setTimeout(
    () => finish(new CallProblem(STATUS.deadlineExceeded, 'the request did not arrive')),
    requestMs,
  );
  const take = (piece: Buffer): void => {
    try {
      const message = reader.take(piece);
      if (message !== null) finish(message);
    } catch (error) {
      finish(error instanceof CallProblem ? error : new CallProblem(STATUS.internal, 'internal error'));
    }
  };
  const ended = (): void => finish(new CallProblem(STATUS.invalidArgument, 'the call ended before its request did'));
  const closed = (): void => finish(null);
  stream.on('data', take).on('end', ended).on('close', closed);
}
