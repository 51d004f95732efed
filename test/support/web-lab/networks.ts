import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where `ip netns exec` finds the files of a namespace that stand in for those of the same names in /etc. */
const FILES = '/etc/netns';

/** Addresses of the namespaces. The public ones are of the networks for examples, which no host has. */
export const LAB = {
  resolver: '203.0.113.53',
  public: ['203.0.113.10', '2001:db8::10'],
  private: ['10.66.0.10', '10.66.0.11', '169.254.169.254', 'fd66::10'],
  /** Of the control plane's own machine. */
  own: ['203.0.113.1', '2001:db8::1', '10.66.0.1', '127.0.0.1', '::1'],
} as const;

export type Place = 'server' | 'public' | 'private';

/**
 * Three networks that nothing else reaches: that of the control plane, one of public hosts, and one of private hosts. The
 * control plane reaches both of the others, and asks a resolver among the public hosts for names.
 */
export class Networks implements Disposable {
  readonly #name = `gbx-${randomBytes(3).toString('hex')}`;

  constructor() {
    try {
      for (const place of ['server', 'public', 'private'] as const) this.#make(place);
      this.#link(
        'public',
        ['203.0.113.1/24', '2001:db8::1/64'],
        ['203.0.113.53/24', '203.0.113.10/24', '2001:db8::10/64'],
      );
      this.#link(
        'private',
        ['10.66.0.1/24', 'fd66::1/64'],
        ['10.66.0.10/24', '10.66.0.11/24', '169.254.169.254/32', 'fd66::10/64'],
      );
      ip('-n', this.nameOf('server'), 'route', 'add', '169.254.169.254/32', 'dev', 'private');
      const files = join(FILES, this.nameOf('server'));
      mkdirSync(files, { recursive: true });
      writeFileSync(join(files, 'resolv.conf'), `nameserver ${LAB.resolver}\noptions timeout:1 attempts:1\n`);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  nameOf(place: Place): string {
    return `${this.#name}-${place}`;
  }

  /** Words that run the command after them in a network. */
  prefix(place: Place): readonly string[] {
    return ['ip', 'netns', 'exec', this.nameOf(place)];
  }

  [Symbol.dispose](): void {
    for (const place of ['server', 'public', 'private'] as const) {
      try {
        ip('netns', 'del', this.nameOf(place));
      } catch {
        // It was not made.
      }
    }
    rmSync(join(FILES, this.nameOf('server')), { recursive: true, force: true });
  }

  #make(place: Place): void {
    ip('netns', 'add', this.nameOf(place));
    ip('-n', this.nameOf(place), 'link', 'set', 'lo', 'up');
  }

  /** Connects the control plane's network with another one. */
  #link(place: 'public' | 'private', here: readonly string[], there: readonly string[]): void {
    const [server, other] = [this.nameOf('server'), this.nameOf(place)];
    ip('-n', server, 'link', 'add', place, 'type', 'veth', 'peer', 'name', 'server', 'netns', other);
    for (const [network, device, addresses] of [
      [server, place, here],
      [other, 'server', there],
    ] as const) {
      for (const address of addresses)
        ip('-n', network, 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []));
      ip('-n', network, 'link', 'set', device, 'up');
    }
  }
}

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
}
