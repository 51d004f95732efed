import { Counter, type Registry } from 'prom-client';

/** Counts what code asks of the web, by owner and host. Hosts are counted by the patterns of the operator: code could name any number. */
export class WebMetrics {
  readonly #requests: Counter<'owner' | 'host_rule' | 'outcome'>;
  readonly #bytes: Counter<'owner' | 'host_rule' | 'direction'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: 'glovebox_web_requests_total',
      help: 'Requests and connections of code to the web that have ended.',
      labelNames: ['owner', 'host_rule', 'outcome'],
      registers,
    });
    this.#bytes = new Counter({
      name: 'glovebox_web_bytes_total',
      help: 'Bytes that code has sent to the web (out) and received (in).',
      labelNames: ['owner', 'host_rule', 'direction'],
      registers,
    });
  }

  /** @param rule pattern of the operator. Undefined if none matches */
  countRequest(owner: string, rule: string | undefined, outcome: string): void {
    this.#requests.inc({ owner, host_rule: rule ?? NO_RULE, outcome });
  }

  countBytes(owner: string, rule: string, bytesIn: number, bytesOut: number): void {
    if (bytesIn > 0) this.#bytes.inc({ owner, host_rule: rule, direction: 'in' }, bytesIn);
    if (bytesOut > 0) this.#bytes.inc({ owner, host_rule: rule, direction: 'out' }, bytesOut);
  }
}

const NO_RULE = 'none';
