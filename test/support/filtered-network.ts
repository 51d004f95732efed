import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';

/** Address of a service behind the next hop, and of that hop, in a {@link FilteredNetwork}. */
export const SERVICE = '10.96.0.1';
export const NEXT_HOP = '10.77.0.1';

/**
 * A network of one machine whose only way out is a next hop with a packet filter, as the network of a cluster gives to a
 * pod. Nothing else is reached from there.
 */
export class FilteredNetwork implements Disposable {
  readonly #name = `gbf-${randomBytes(3).toString('hex')}`;
  readonly #hop = `${this.#name}-hop`;

  /** @param rules what the next hop does with what comes: words of `iptables -A INPUT`, one rule each */
  constructor(rules: readonly string[]) {
    try {
      for (const name of [this.#name, this.#hop]) {
        run('ip', 'netns', 'add', name);
        run('ip', '-n', name, 'link', 'set', 'lo', 'up');
      }
      run('ip', '-n', this.#name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.#hop);
      run('ip', '-n', this.#name, 'address', 'add', '10.77.0.2/24', 'dev', 'eth0');
      run('ip', '-n', this.#hop, 'address', 'add', `${NEXT_HOP}/24`, 'dev', 'eth0');
      run('ip', '-n', this.#hop, 'address', 'add', `${SERVICE}/32`, 'dev', 'lo');
      for (const name of [this.#name, this.#hop]) run('ip', '-n', name, 'link', 'set', 'eth0', 'up');
      run('ip', '-n', this.#name, 'route', 'add', 'default', 'via', NEXT_HOP);
      for (const rule of rules)
        run('ip', 'netns', 'exec', this.#hop, 'iptables', '-A', 'INPUT', '-i', 'eth0', ...rule.split(' '));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Runs a program of Python there, with this input. Returns what it prints. */
  runPython(code: string, input: string): string {
    return execFileSync('ip', ['netns', 'exec', this.#name, 'python3', '-I', '-c', code], {
      ...{ input, encoding: 'utf8' },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  [Symbol.dispose](): void {
    for (const name of [this.#name, this.#hop]) {
      try {
        run('ip', 'netns', 'del', name);
      } catch {
        // It was not made.
      }
    }
  }
}

function run(command: string, ...words: string[]): void {
  execFileSync(command, words, { stdio: ['ignore', 'ignore', 'pipe'] });
}
