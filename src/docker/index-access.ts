import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { ContextFile } from './build-context.ts';
import { runCommand } from './child.ts';

export interface IndexOptions {
  /** Package index; default: what pip is configured with on this host. */
  readonly indexUrl?: string | undefined;
  readonly hostEnvironment: {
    /** Certificate authorities that this host trusts. */
    readonly caFile?: string | undefined;
    readonly proxy: Readonly<Record<string, string>>;
  };
}

/** Settings that mean the same in a container; paths of the host do not. */
const PORTABLE = ['index-url', 'extra-index-url', 'trusted-host', 'proxy', 'timeout', 'default-timeout', 'retries'];

/** Where distributions keep the authorities that a host trusts. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** What pip needs to reach the index from a build, as files of `access/`: they may hold credentials. */
export async function readIndexAccess(options: IndexOptions, signal?: AbortSignal): Promise<ContextFile[]> {
  const settings = await readPipSettings(signal);
  if (options.indexUrl) settings.set('index-url', options.indexUrl);
  return [
    { name: 'access/pip.conf', content: Buffer.from(formatPipConfig(settings)) },
    { name: 'access/ca.crt', content: await readAuthorities(options.hostEnvironment.caFile) },
  ];
}

async function readAuthorities(caFile: string | undefined): Promise<Buffer> {
  const path = caFile ?? SYSTEM_BUNDLES.find((bundle) => existsSync(bundle));
  return path ? await readFile(path) : Buffer.alloc(0);
}

async function readPipSettings(signal?: AbortSignal): Promise<Map<string, string>> {
  for (const [command, ...args] of [['python3', '-m', 'pip'], ['pip3'], ['pip']] as const) {
    const { code, stdout } = await runCommand(command, [...args, 'config', 'list'], { timeoutMs: 15_000, signal });
    if (code === 0) return parsePipSettings(stdout);
  }
  return new Map();
}

/** The portable settings among the output of `pip config list`; pip's own order of precedence. */
export function parsePipSettings(output: string): Map<string, string> {
  const settings = new Map<string, string>();
  for (const section of ['global', 'install', ':env:']) {
    for (const line of output.split('\n')) {
      const match = /^([^.]+)\.([a-z-]+)=(['"])(.*)\3$/.exec(line.trim());
      if (match?.[1] !== section || !match[2] || !PORTABLE.includes(match[2])) continue;
      settings.set(match[2], unquote(match[4] ?? ''));
    }
  }
  return settings;
}

/** The text of a Python string literal, without its quotes. */
function unquote(literal: string): string {
  return literal.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
}

/** A pip.conf; lists go on in indented lines. */
export function formatPipConfig(settings: ReadonlyMap<string, string>): string {
  const lines = [...settings].map(
    ([name, value]) => `${name.replace(/^default-/, '')} = ${value.trim().split(/\s+/).join('\n    ')}`,
  );
  return `[global]\n${lines.join('\n')}\n`;
}
