import { attempt, type Finding } from '../../lib/finding.ts';
import type { Protection } from '../../sandbox/assurances.ts';
import type { ExamineOptions } from '../options.ts';
import { checkEngine, type EngineFacts, readFacts } from './connect/check-engine.ts';
import { connectEngine, type EngineConnection } from './connect/connect.ts';
import { limitsNothing, readPodmanVersion } from './connect/podman.ts';
import { openDriver } from './drivers/open-driver.ts';
import { findImage } from './images/sandbox-image.ts';
import type { DockerSettings } from './index.ts';

/** What is true of an engine that says otherwise. */
const NO_LIMITS: EngineFacts = { MemoryLimit: false, PidsLimit: false, CpuCfsQuota: false, SwapLimit: false };

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
    ...examineLimits(isPodman && limitsNothing(facts) ? { ...facts, ...NO_LIMITS } : facts, settings.allowMissing),
    ...(await attempt('sandbox', () => examineSandbox({ docker, address }, settings, runProbe))),
  ];
}

/** Podman lists what it would know how to use, whether it is installed or not. */
function listRuntimes(runtimes: Readonly<Record<string, unknown>>, isPodman: boolean): string {
  return `${Object.keys(runtimes).join(', ')}${isPodman ? ' (installed or not)' : ''}`;
}

async function examineSandbox(
  { docker, address }: Pick<EngineConnection, 'docker' | 'address'>,
  settings: DockerSettings,
  runProbe: ExamineOptions['runProbe'],
): Promise<readonly Finding[]> {
  const facts = await checkEngine(docker, settings);
  // Refuses what a server would refuse, even where there is no image to look further with.
  await openDriver(docker, { ...settings, address, facts });
  const { reference, present } = await findImage(docker, settings);
  if (present) return await runProbe();
  return [['warn', 'sandbox', `its image ${reference} is missing`, 'Run "glovebox image", or start the server.']];
}

/**
 * Tells which limits the engine says it has: that they take effect is seen in a sandbox only. Without most of them, code
 * can take the whole machine. Without those on swap and processors, it slows others down.
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
    works === false
      ? [otherwise, what, 'has no effect', KERNEL_HINT]
      : tellFact(what, works && 'the engine says that it has one'),
  );
}

function tellFact(what: string, said: string | undefined): Finding {
  return said === undefined ? ['warn', what, 'the engine does not say'] : ['ok', what, said];
}
