import type Dockerode from 'dockerode';
import { attempt, type Finding } from '../../lib/finding.ts';
import type { Protection } from '../../sandbox/assurances.ts';
import type { ExamineOptions } from '../options.ts';
import { checkEngine, type EngineFacts, readFacts } from './connect/check-engine.ts';
import { connectEngine } from './connect/connect.ts';
import { readPodmanVersion } from './connect/podman.ts';
import { findImage } from './images/sandbox-image.ts';
import type { DockerSettings } from './index.ts';

const KERNEL_HINT = "The kernel of the engine's machine, or a rootless engine, does not offer it: enable that cgroup.";

/** Checks the engine, its limits and the sandbox image. @throws GloveboxError `engine_unavailable` */
export async function examineDocker(
  settings: DockerSettings,
  { tell, runProbe }: ExamineOptions,
): Promise<readonly Finding[]> {
  const { docker, address, source } = await connectEngine(settings);
  const said = await docker.version();
  const isPodman = readPodmanVersion(said) !== undefined;
  tell([
    [
      'ok',
      'engine',
      `${isPodman ? 'Podman ' : ''}${said.Version} at ${address}${address.endsWith(source) ? '' : `, from ${source}`}`,
    ],
  ]);
  const facts = await readFacts(docker);
  return [
    tellFact('runtimes', facts.Runtimes && listRuntimes(facts.Runtimes, isPodman)),
    tellFact('storage driver', facts.Driver),
    tellFact('cgroup version', facts.CgroupVersion),
    ...examineLimits(facts, settings.allowMissing),
    ...(await attempt('sandbox', () => examineSandbox(docker, settings, runProbe))),
  ];
}

/** Podman lists what it would know how to use, whether it is installed or not. */
function listRuntimes(runtimes: Readonly<Record<string, unknown>>, isPodman: boolean): string {
  return `${Object.keys(runtimes).join(', ')}${isPodman ? ' (installed or not)' : ''}`;
}

async function examineSandbox(
  docker: Dockerode,
  settings: DockerSettings,
  runProbe: ExamineOptions['runProbe'],
): Promise<readonly Finding[]> {
  await checkEngine(docker, settings);
  const { reference, present } = await findImage(docker, settings);
  if (present) return await runProbe();
  return [['warn', 'sandbox', `its image ${reference} is missing`, 'Run "glovebox image", or start the server.']];
}

/**
 * Checks that limits are enforced. Without most of them, code can take the whole machine. Without those on swap and
 * processors, it slows others down.
 */
function examineLimits(
  { MemoryLimit, PidsLimit, CpuCfsQuota, SwapLimit }: EngineFacts,
  allowed: readonly Protection[],
): readonly Finding[] {
  const limits = [
    ['memory limit', MemoryLimit, allowed.includes('memory') ? 'warn' : 'fail'],
    ['pids limit', PidsLimit, allowed.includes('pids') ? 'warn' : 'fail'],
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
