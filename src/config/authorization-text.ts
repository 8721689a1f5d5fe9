// A separate `authorization` section, as in a mesh's ConfigMap: the same keys, the same checks.
import * as v from 'valibot';
import { authorization, checkAuthorization } from './authorization.js';
import { readYaml } from './document.js';
import { schemaFindings } from './finding.js';
import type { Problem } from './problem.js';
import { ConfigError, formatPath } from './problem.js';
import { withReservedKeys } from './reserved-keys.js';

/**
 * `file`: name of the text in problems. Returns the plain tree, which can serve as `authorization` in the configuration. Throws a
 * ConfigError.
 */
export function readAuthorization(file: string, text: string): unknown {
  const { value, problems: mistakes, readable, locate } = readYaml(text);
  const problems: Problem[] = mistakes.map((problem) => ({ file, ...problem }));
  if (readable) {
    if (value === null) {
      const message = 'is empty; write default or rules, or remove the key';
      problems.push({ file, line: 1, column: 1, path: '', message });
    } else {
      const { issues = [] } = v.safeParse(authorization, value);
      const findings = [...schemaFindings(issues), ...checkAuthorization(value, [])];
      for (const { path, message, at } of withReservedKeys(value, findings))
        problems.push({ file, ...locate(path, at), path: formatPath(path), message });
    }
  }
  if (problems.length > 0) throw new ConfigError(problems.sort((a, b) => a.line - b.line || a.column - b.column));
  return value;
}
