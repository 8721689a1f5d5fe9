// Stand-ins that write down what they are asked to do.

/** An object of which each call is noted in `calls` as `name.method(arguments)`; what `methods` return is the answer. */
export function recording<T>(
  calls: string[],
  name: string,
  methods: { readonly [method: string]: (...args: never[]) => unknown },
): T {
  const object: Record<string, unknown> = {};
  for (const [method, body] of Object.entries(methods)) {
    object[method] = (...args: never[]) => {
      calls.push(`${name}.${method}(${args.map(String).join(', ')})`);
      return body(...args);
    };
  }
  return object as T;
}

/** Takes what was noted so far. */
export function taken(calls: string[]): string[] {
  return calls.splice(0);
}
