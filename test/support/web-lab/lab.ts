import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { pipeline } from 'node:stream';
import { exitOf, type Server, type ServerOptions, startServer } from '../server.ts';
import { LAB, Networks, type Place } from './networks.ts';
import type { Zone } from './zone.ts';

/** A program in a network, and the lines that it writes. */
interface Program {
  readonly child: ChildProcess;
  readonly lines: Interface;
}

/** Hosts that serve the web, a resolver of names, and control planes, each in a network that the lab has made. */
export class WebLab implements AsyncDisposable {
  readonly #networks = new Networks();
  readonly #folder = mkdtempSync(join(tmpdir(), 'glovebox-lab-'));
  readonly #programs: Program[] = [];
  readonly #doors: NetServer[] = [];
  readonly #hosts = new Map<Place, Program>();
  /** Certificate of the public hosts. */
  certificate = '';

  /** @param names names that the certificate of the public hosts is for */
  static async open(zone: Zone, names: readonly string[]): Promise<WebLab> {
    const lab = new WebLab();
    try {
      await lab.#start('public', 'resolver.ts', [LAB.resolver, JSON.stringify(zone)]);
      lab.certificate = await lab.#startHosts('public', LAB.public, names);
      await lab.#startHosts('private', LAB.private, names);
      // What listens on the machine of the control plane itself is not for code either.
      await lab.#startHosts('server', LAB.own, names);
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts a control plane in its network. It ends with the lab, unless it has ended before. */
  async startServer(options: ServerOptions = {}): Promise<Server> {
    const server = await startServer({ ...options, prefix: this.#networks.prefix('server') });
    return { ...server, url: await this.#doorTo(server.port) };
  }

  /** Local addresses of all connections that hosts of a network have accepted so far. */
  async connectionsTo(place: Place): Promise<readonly string[]> {
    const host = this.#hosts.get(place);
    if (!host) throw new Error(`There are no hosts in the network ${place}`);
    const line = once(host.lines, 'line');
    host.child.stdin?.write('\n');
    const [text] = await line;
    return (JSON.parse(text) as { seen: string[] }).seen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const door of this.#doors) door.close();
    for (const { child } of this.#programs) {
      const ended = exitOf(child);
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await ended;
    }
    this.#networks[Symbol.dispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #startHosts(place: Place, addresses: readonly string[], names: readonly string[]): Promise<string> {
    const { program, first } = await this.#start(place, 'host.ts', [addresses.join(), names.join()]);
    this.#hosts.set(place, program);
    return (JSON.parse(first) as { certificate: string }).certificate;
  }

  /** A port of this process's own loopback that leads to one of the control plane's. */
  async #doorTo(port: number): Promise<string> {
    const path = join(this.#folder, `${port}`);
    await this.#start('server', 'way-in.ts', [path, String(port)]);
    const door = createServer({ allowHalfOpen: true }, (near) => {
      const far = connect({ path, allowHalfOpen: true });
      pipeline(near, far, near, () => {
        near.destroy();
        far.destroy();
      });
    });
    door.listen(0, '127.0.0.1');
    await once(door, 'listening');
    this.#doors.push(door);
    const address = door.address();
    return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  /** Runs a program of this folder in a network, until its first line. */
  async #start(place: Place, file: string, args: readonly string[]): Promise<{ program: Program; first: string }> {
    const [command = '', ...words] = this.#networks.prefix(place);
    const path = join(import.meta.dirname, file);
    const child = spawn(command, [...words, process.execPath, '--no-warnings', path, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // Programs of the lab are killed: what they leave goes with its folder.
      env: { ...process.env, TMPDIR: this.#folder },
    });
    const program = { child, lines: createInterface(child.stdout) };
    this.#programs.push(program);
    const first = await Promise.race([once(program.lines, 'line'), exitOf(child)]);
    if (!Array.isArray(first)) throw new Error(`${file} in the network ${place} ended with code ${first.code}`);
    return { program, first: String(first[0]) };
  }
}
