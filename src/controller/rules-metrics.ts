// What is counted of the rules of the mesh.
import { Counter, Gauge, type Registry } from 'prom-client';

const RESULTS = ['ok', 'failed'] as const;

export class RulesMetrics {
  readonly #looks: Counter<'result'>;
  readonly #wrong: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    const help = 'Times that the ConfigMap with the rules of the mesh was read, or could not be read';
    this.#looks = new Counter({ name: 'sluice_controller_rules_reads_total', help, labelNames: ['result'], registers });
    const wrong = 'Keys of the ConfigMap whose section has mistakes; their previous rules stay in force';
    this.#wrong = new Gauge({ name: 'sluice_controller_rules_wrong', help: wrong, registers });
    for (const result of RESULTS) this.#looks.inc({ result }, 0);
  }

  looked(ok: boolean, wrong: number): void {
    this.#looks.inc({ result: ok ? 'ok' : 'failed' });
    this.#wrong.set(wrong);
  }
}
