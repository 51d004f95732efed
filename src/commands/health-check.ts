// Program of the image's HEALTHCHECK: checks whether the server is reachable from outside of its container.
import { readdirSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { type Config, isLoopback } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { parseSettings } from './settings-options.ts';

const LIMIT_MS = 8000;
const WILDCARDS = ['0.0.0.0', '::', '[::]'];

/** Returns the command of the container, without Node and the program's path. An init process may come before it. */
function readCommand(): string[] {
  const words = readFileSync('/proc/1/cmdline', 'utf8').split('\0').slice(0, -1);
  const program = words.findIndex((word) => /(^|\/)(cli\.js|glovebox)$/.test(word));
  // Another process comes first with --pid=host.
  return program < 0 ? ['serve'] : words.slice(program + 1);
}

/** Whether this is the host's own network. Interfaces of a container are one end of a pair with the other end outside. */
function isHostNetwork(): boolean {
  const root = '/sys/class/net';
  const read = (name: string, file: string) => readFileSync(`${root}/${name}/${file}`, 'utf8');
  return readdirSync(root).some((name) => name !== 'lo' && read(name, 'ifindex') === read(name, 'iflink'));
}

/** Returns the address at which others reach the server. @throws Error if there is none */
function reachableAddress({ host }: Pick<Config, 'host'>): string {
  if (isLoopback(host) && !isHostNetwork()) {
    throw new Error(
      `It listens on ${host}, which nobody reaches from outside of the container: leave GLOVEBOX_HOST out.`,
    );
  }
  if (!WILDCARDS.includes(host)) return host.replace(/^\[|\]$/g, '');
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outward = all.filter(({ internal, address }) => !internal && !address.startsWith('fe80:'));
  const found = outward.find(({ family }) => family === 'IPv4') ?? outward[0];
  if (!found) throw new Error('The container has no network: nobody reaches it. Start it with one, and with -p.');
  return found.address;
}

/** Resolves when the server answers. A server that asks for a key is alive as well. */
async function expectAnswer(host: string, port: number): Promise<void> {
  const status = await new Promise<number>((resolve, reject) => {
    const headers = { Host: 'localhost' };
    const request = get({ host, port, path: '/health', headers, signal: AbortSignal.timeout(LIMIT_MS) }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    request.on('error', reject);
  });
  if (status >= 500) throw new Error(`${host}:${port} answers with status ${status}.`);
}

async function check(): Promise<string> {
  const [command, ...flags] = readCommand();
  if (command !== 'serve') return `Nothing is served over HTTP by "${command ?? ''}".`;
  const config = loadConfig(undefined, parseSettings(flags));
  const host = reachableAddress(config);
  const ports = [config.port, ...config.alsoPorts];
  await Promise.all(ports.map((port) => expectAnswer(host, port)));
  return `${host} answers on ${ports.join(' and ')}.`;
}

check().then(
  (said) => void process.stdout.write(`${said}\n`),
  (error: unknown) => {
    process.stdout.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  },
);
