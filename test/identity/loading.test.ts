import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** Modules of packages that a fresh process has loaded after `code`. */
function loadedBy(code: string): string[] {
  const script = `
    import { createRequire } from 'node:module';
    ${code}
    console.log(JSON.stringify(Object.keys(createRequire(import.meta.url).cache)));
  `;
  const cwd = new URL('../../../', import.meta.url).pathname;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd, encoding: 'utf8' });
  return JSON.parse(said) as string[];
}

// gRPC takes 8 MB of a process.
test('a proxy loads gRPC when its identity wants it, and not before', () => {
  const engine = loadedBy("await import('./dist/src/supervisor/engine.js');");
  assert.ok(engine.length > 0, 'packages that come as CommonJS are seen');
  const heavy = (path: string): boolean => /node_modules\/(@grpc|protobufjs|@peculiar)\//.test(path);
  assert.deepEqual(engine.filter(heavy), []);
  const source = loadedBy(
    "await (await import('./dist/src/identity/grpc.js')).grpcService('workload.proto', 'SpiffeWorkloadAPI');",
  );
  assert.ok(source.some((path) => path.includes('node_modules/@grpc/grpc-js/')));
});
