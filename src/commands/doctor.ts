import { createServer } from 'node:net';
import { examineArchives } from '../archives/examine.ts';
import type { Config } from '../config/load.ts';
import { examineEngine } from '../engines/index.ts';
import { checkStateDir, ephemeralName, Glovebox } from '../glovebox.ts';
import { attempt, type Finding } from '../lib/finding.ts';
import { hasOwners } from '../lib/login/auth-kind.ts';
import { createLog, type Log } from '../log.ts';
import { findAuthorities } from '../outbound/authorities.ts';
import { examineShared } from '../packages/cache/open-shared.ts';
import { checkIndex } from '../packages/index/check-index.ts';
import { readHostIndexes } from '../packages/index/host-indexes.ts';
import { examineSecrets } from '../secrets/examine.ts';
import { Secrets } from '../secrets/secrets.ts';
import { LOCAL_OWNER } from '../sessions/caller.ts';
import { version } from '../version.ts';

const INDEX_LIMIT_MS = 10_000;

/** Runs `glovebox doctor`. The exit status is 1 if a check fails. */
export async function runDoctor(config: Config): Promise<void> {
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  if (!(await examine(config, createLog(config.logLevel), print))) process.exitCode = 1;
}

/** Checks what a running server needs: all but its ports. @param runProbe runs code in a sandbox of the server */
export async function examineServer(
  config: Config,
  runProbe: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  const tell = (findings: readonly Finding[]) => void found.push(...findings);
  tell(await attempt('state directory', async () => examineState(config)));
  tell(await examineStorage(config));
  tell(await examineIndexes(config));
  tell(await examineSecrets(config));
  tell(await attempt('tools', () => examineToolServers(config)));
  tell(await attempt('engine', () => examineEngine(config, { tell, runProbe })));
  return found;
}

/** Checks everything that Glovebox needs, and reports findings with advice. Returns whether it can serve. */
async function examine(config: Config, log: Log, say: (line: string) => void): Promise<boolean> {
  let healthy = true;
  const tell = (findings: readonly Finding[]) => {
    for (const [level, what, said, next] of findings) {
      say(`${level.padEnd(5)} ${what.padEnd(16)} ${said}`);
      if (next) say(`${''.padEnd(22)} ${next}`);
      healthy &&= level !== 'fail';
    }
  };
  tell(await attempt('state directory', async () => examineState(config)));
  tell(await examineStorage(config));
  for (const port of [config.port, ...config.alsoPorts]) tell(await examinePort(config.host, port));
  tell(await examineIndexes(config));
  tell(await examineSecrets(config));
  tell(await attempt('tools', () => examineToolServers(config)));
  tell(await attempt('engine', () => examineEngine(config, { tell, runProbe: () => runProbe(config, log) })));
  return healthy;
}

function examineState({ stateDir }: Config): readonly Finding[] {
  checkStateDir(stateDir);
  return [['ok', 'state directory', `${stateDir} can be written`]];
}

/** Checks the buckets that archives and packages are in. */
async function examineStorage(config: Config): Promise<readonly Finding[]> {
  const { sharedCache: url } = config;
  return [
    ...(await examineArchives(config)),
    ...(url === undefined ? [] : await examineShared({ url, access: config })),
  ];
}

async function examinePort(host: string, port: number): Promise<readonly Finding[]> {
  const server = createServer();
  const problem = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    server.once('error', resolve);
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
  if (!problem) return [['ok', 'port', `${host}:${port} is free`]];
  if (problem.code !== 'EADDRINUSE') {
    return [['fail', 'port', `${host}:${port}: ${problem.message}`, 'Set GLOVEBOX_HOST and GLOVEBOX_PORT.']];
  }
  const next = 'If that is Glovebox, all is well; else set GLOVEBOX_PORT to another.';
  return [['warn', 'port', `something listens on ${host}:${port}`, next]];
}

async function examineIndexes({ indexUrl, hostEnvironment }: Config): Promise<readonly Finding[]> {
  const urls = indexUrl ?? (await readHostIndexes());
  if (urls.length === 0) {
    return [
      ['warn', 'package index', 'what pip in the sandbox image uses', 'Set GLOVEBOX_INDEX_URL to have it checked.'],
    ];
  }
  const access = { caFile: findAuthorities(hostEnvironment.caFile), proxy: hostEnvironment.proxy };
  const findings = urls.map((url) =>
    attempt('package index', async () => {
      const name = await checkIndex(url, access, AbortSignal.timeout(INDEX_LIMIT_MS));
      return [['ok', 'package index', `${name} answers`]];
    }),
  );
  return (await Promise.all(findings)).flat();
}

async function examineToolServers(config: Config): Promise<readonly Finding[]> {
  const { tools: file, toolsStdio, stateDir, auth, hostEnvironment } = config;
  if (file === undefined) return [];
  const { examineTools } = await import('../broker/examine.ts');
  return await examineTools({
    ...{ file, mayStart: toolsStdio === 1, stateDir, secrets: new Secrets(config), version },
    localOwner: hasOwners(auth) ? undefined : LOCAL_OWNER,
    hosts: hostEnvironment,
    log: createLog('error'),
  });
}

/** Runs code in a sandbox of its own, and looks into one. @throws GloveboxError when it cannot run, or is not sealed. */
async function runProbe(config: Config, log: Log): Promise<readonly Finding[]> {
  const options = { instance: ephemeralName('probe'), log, mayInstall: false, lazy: true, mustLook: true };
  const own = { poolSize: 0, poolMax: 0, state: 'directory', archives: 'directory' } as const;
  await using glovebox = await Glovebox.open({ ...config, ...own }, options);
  return await glovebox.examine();
}
