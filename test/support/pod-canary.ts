import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { loadConfig } from '../../src/config/load.ts';
import type { KubernetesClient } from '../../src/engines/kubernetes/api/client.ts';
import { type ExecEnd, openExec } from '../../src/engines/kubernetes/api/exec.ts';
import { type PodState, podPath, podSchema } from '../../src/engines/kubernetes/api/pod.ts';
import { KubernetesEngine } from '../../src/engines/kubernetes/engine.ts';
import { connectCluster } from '../../src/engines/kubernetes/index.ts';
import { CONTAINER_NAME, podName } from '../../src/engines/kubernetes/pod-spec.ts';
import { createLog } from '../../src/log.ts';
import type { SandboxSpec } from '../../src/sandbox/engine.ts';

/** Starts a program as the runner is started, with its limits and its filter. */
const RUN = ['/opt/glovebox/hold', 'run', '--env', 'HOME=/workspace', '--'];

interface PodResult {
  readonly end: ExecEnd;
  readonly stdout: string;
  readonly stderr: string;
}

/** A sandbox in a pod, made by the engine itself, in which Python code sees for itself what holds. */
export interface PodCanary extends AsyncDisposable {
  readonly uid: number;
  readonly spec: SandboxSpec;
  readonly engine: KubernetesEngine;
  readonly ref: string;
  /** Runs a program, which gets no environment, limits or filter but those of the container. */
  exec(command: readonly string[], stdin?: string): Promise<PodResult>;
  /** Runs `code` under what the runner has, as `python3 -` does. */
  python(code: string): Promise<PodResult>;
  /** What `code` prints as JSON; the usual modules are imported already. */
  see(code: string): Promise<unknown>;
  /** The pod as the API server tells it. */
  pod(): Promise<PodState>;
  /** What the API server has as the log of the container. */
  log(): Promise<string>;
}

/** Starts one in the cluster of `KUBECONFIG`. @param environment settings beside those of this process */
export async function startPodCanary(
  change: Partial<SandboxSpec> = {},
  environment: NodeJS.ProcessEnv = {},
): Promise<PodCanary> {
  const config = loadConfig({ ...process.env, GLOVEBOX_ENGINE: 'kubernetes', ...environment });
  const log = createLog('error');
  const client = await connectCluster(config, log);
  const engine = new KubernetesEngine(client, config, log);
  const spec: SandboxSpec = {
    key: `canary-${randomBytes(6).toString('hex')}`,
    instance: `canary-${process.pid}`,
    image: config.image,
    ...{ memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600 },
    ...change,
  };
  const { ref } = await engine.start(spec);
  const name = podName(spec.key);
  const exec: PodCanary['exec'] = (command, stdin = '') => runIn(client, name, command, stdin);
  const python = (code: string) => exec([...RUN, 'python3', '-I', '-'], code);
  return {
    ...{ spec, engine, ref, exec, python },
    uid: Number(ref.split('/').at(-1)),
    see: async (code) => readJson(await python(`import errno, json, os, sys\n${code}`)),
    pod: async () => await client.request('GET', podPath(client.namespace, name), { schema: podSchema }),
    log: async () => {
      const answer = await client.open(`${podPath(client.namespace, name)}/log`, {
        signal: AbortSignal.timeout(30_000),
      });
      return (await buffer(answer)).toString();
    },
    [Symbol.asyncDispose]: async () => {
      await engine.remove(ref);
      engine[Symbol.dispose]();
    },
  };
}

async function runIn(
  client: KubernetesClient,
  pod: string,
  command: readonly string[],
  stdin: string,
): Promise<PodResult> {
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  const onStderr = (piece: Buffer) => void stderr.push(Buffer.from(piece));
  const target = { namespace: client.namespace, pod, container: CONTAINER_NAME, command, onStderr };
  const connection = await openExec(client, target);
  connection.on('data', (piece: Buffer) => stdout.push(Buffer.from(piece)));
  const read = finished(connection, { writable: false }).catch(() => {});
  connection.end(stdin);
  const end = await connection.ended;
  if (end.kind === 'exit') await read;
  connection.destroy();
  return { end, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

function readJson({ end, stdout, stderr }: PodResult): unknown {
  if (end.kind !== 'exit' || end.code !== 0) throw new Error(`${JSON.stringify(end)}\n${stderr}\n${stdout}`);
  return JSON.parse(stdout);
}
