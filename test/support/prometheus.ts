import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../src/lib/run-command.ts';
import { newFolder } from './command.ts';
import { exitOf, withDeadline } from './server.ts';

const CACHE = join(homedir(), '.cache', 'glovebox-tests', 'prometheus');
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;

/** Answer of Prometheus to a query. */
export interface QueryAnswer {
  readonly status: 'success' | 'error';
  readonly error?: string;
  readonly data?: {
    readonly result: readonly { readonly metric: Record<string, string>; readonly value: unknown[] }[];
  };
}

/** A real Prometheus, which scrapes a server each second. */
export interface Prometheus extends AsyncDisposable {
  query(expression: string): Promise<QueryAnswer>;
  /** Numbers of scrapes of the server so far that succeeded. */
  scrapes(): Promise<number>;
}

/** Finds `prometheus` or `promtool`: of Debian's package, which is unpacked into a cache and not installed. */
export async function findProgram(name: 'prometheus' | 'promtool'): Promise<string> {
  const program = join(CACHE, 'usr/bin', name);
  if (existsSync(program)) return program;
  mkdirSync(join(CACHE, '..'), { recursive: true });
  const folder = mkdtempSync(`${CACHE}-`);
  try {
    const fetchPackage = `cd "$1" && apt-get download prometheus && dpkg-deb --extract prometheus_*.deb root`;
    const fetched = () => runCommand('sh', ['-c', fetchPackage, 'sh', folder]);
    let { code, stderr } = await fetched();
    if (code !== 0) {
      await runCommand('apt-get', ['update']);
      ({ code, stderr } = await fetched());
    }
    if (code !== 0) throw new Error(`These tests need Debian's package prometheus: ${stderr}`);
    // Another test file may have been faster.
    if (!existsSync(program)) renameSync(join(folder, 'root'), CACHE);
    return program;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @param target host and port of the server */
export async function startPrometheus(target: string, rules: string): Promise<Prometheus> {
  const program = await findProgram('prometheus');
  const folder = newFolder();
  const scrape = {
    job_name: 'glovebox',
    scrape_interval: '1s',
    scrape_timeout: '1s',
    static_configs: [{ targets: [target] }],
  };
  const config = { global: { evaluation_interval: '1s' }, rule_files: [rules], scrape_configs: [scrape] };
  // JSON is YAML.
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config));
  const words = ['--config.file=prometheus.yml', '--storage.tsdb.path=data', '--web.listen-address=127.0.0.1:0'];
  const child = spawn(program, words, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = exitOf(child);
  let said = '';
  const address = new Promise<string>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const found = /msg="Listening on" address=(\S+)/.exec(said)?.[1];
      if (found && said.includes('Server is ready')) resolve(found);
    });
  });
  const started = Promise.race([address, exited.then(() => Promise.reject(new Error(`Prometheus ended:\n${said}`)))]);
  const url = `http://${await withDeadline(started, START_LIMIT_MS, () => `Prometheus did not start:\n${said}`)}`;
  const query = async (expression: string) =>
    (await (await fetch(`${url}/api/v1/query?${new URLSearchParams({ query: expression })}`)).json()) as QueryAnswer;
  return {
    query,
    scrapes: async () => {
      const { data } = await query('count_over_time(up[1h])');
      return Number(data?.result[0]?.value[1] ?? 0);
    },
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await withDeadline(exited, STOP_LIMIT_MS, () => `Prometheus did not end:\n${said}`);
    },
  };
}
