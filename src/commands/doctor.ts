import { createServer } from 'node:net';
import type { Config } from '../config/load.ts';
import { checkEngine, type EngineFacts, readFacts } from '../engines/docker/connect/check-engine.ts';
import { connectEngine, type EngineConnection } from '../engines/docker/connect/connect.ts';

import { findImage } from '../engines/docker/images/sandbox-image.ts';
import { GloveboxError } from '../errors.ts';
import { checkStateDir, runProbe } from '../glovebox.ts';
import { createLog, type Log } from '../log.ts';
import { checkIndex } from '../packages/index/check-index.ts';
import { findAuthorities, readHostIndexes } from '../packages/index/host-indexes.ts';

type Level = 'ok' | 'warn' | 'fail';

/** One line of the report; what to do about it, where something is to be done. */
type Finding = readonly [level: Level, what: string, said: string, next?: string];

const INDEX_LIMIT_MS = 10_000;
const KERNEL_HINT = "The kernel of the engine's machine, or a rootless engine, does not offer it: enable that cgroup.";

/** Runs `glovebox doctor`; the exit status is 1 where something fails. */
export async function runDoctor(config: Config): Promise<void> {
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  if (!(await examine(config, createLog(config.logLevel), print))) process.exitCode = 1;
}

/** Says of each thing that Glovebox needs how it is, and what to do about it; whether it can serve. */
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
  for (const port of [config.port, ...config.alsoPorts]) tell(await examinePort(config.host, port));
  tell(await examineIndexes(config));
  tell(
    await attempt('engine', async () => {
      const connection = await connectEngine(config);
      const { docker, address, source } = connection;
      const { Version: version } = await docker.version();
      tell([['ok', 'engine', `${version} at ${address}${address.endsWith(source) ? '' : `, from ${source}`}`]]);
      return await examineEngine(connection, config, log);
    }),
  );
  return healthy;
}

/** What `work` finds; an error is the finding that it failed. */
async function attempt(what: string, work: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await work();
  } catch (error) {
    const { message, hint } = error instanceof GloveboxError ? error : { message: String(error), hint: undefined };
    return [['fail', what, message, ...(hint ? ([hint] as const) : ([] as const))]];
  }
}

function examineState({ stateDir }: Config): readonly Finding[] {
  checkStateDir(stateDir);
  return [['ok', 'state directory', `${stateDir} can be written`]];
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

async function examineEngine(connection: EngineConnection, config: Config, log: Log): Promise<readonly Finding[]> {
  const facts = await readFacts(connection.docker);
  return [
    tellFact('runtimes', facts.Runtimes && Object.keys(facts.Runtimes).join(', ')),
    tellFact('storage driver', facts.Driver),
    tellFact('cgroup version', facts.CgroupVersion),
    ...examineLimits(facts),
    ...(await attempt('sandbox', () => examineSandbox(connection, config, log))),
  ];
}

async function examineSandbox({ docker }: EngineConnection, config: Config, log: Log): Promise<readonly Finding[]> {
  await checkEngine(docker, config);
  const { reference, present } = await findImage(docker, config);
  if (present) return [['ok', 'sandbox', await runProbe(config, log)]];
  return [['warn', 'sandbox', `its image ${reference} is missing`, 'Run "glovebox image", or start the server.']];
}

/** A limit that is not enforced lets code take the machine; without those on swap and processors it slows others. */
function examineLimits({ MemoryLimit, PidsLimit, CpuCfsQuota, SwapLimit }: EngineFacts): readonly Finding[] {
  const limits = [
    ['memory limit', MemoryLimit, 'fail'],
    ['pids limit', PidsLimit, 'fail'],
    ['cpu limit', CpuCfsQuota, 'warn'],
    ['swap limit', SwapLimit, 'warn'],
  ] as const;
  return limits.map(([what, works, otherwise]) =>
    works === false ? [otherwise, what, 'has no effect', KERNEL_HINT] : tellFact(what, works && 'takes effect'),
  );
}

function tellFact(what: string, said: string | undefined): Finding {
  return said === undefined ? ['warn', what, 'the engine does not say'] : ['ok', what, said];
}
