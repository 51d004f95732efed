import { z } from 'zod';
import type { SandboxUnreachable } from '../../sandbox/engine.ts';
import { endAll } from '../session-users.ts';
import type { ExecEnd, ExecOutcome } from './api/exec.ts';
import { CLOSED_HERE } from './api/exec-connection.ts';
import { type PodId, type Pods, unreachable } from './pods.ts';

/** Time for the program that kills all others to end, in milliseconds. Beside a fork bomb, it takes many seconds. */
const KILL_LIMIT_MS = 10_000;
/** The same for one that counts. */
const COUNT_LIMIT_MS = 3000;
/** Time for a node to refuse a program that is not there, in milliseconds. */
const ALIVE_LIMIT_MS = 5000;
/** Time in which a node answers at once, in milliseconds. A connection to one that does not is tried again after a second. */
const AT_ONCE_MS = 1000;
/** Time for the cluster to notice that a node does not answer, in milliseconds. Its default is 50 s since the last answer. */
const NOTICE_LIMIT_MS = 45_000;

const countSchema = z.object({ left: z.number().int().nonnegative() });

/** Runs short programs in one pod. */
export interface PodPrograms {
  /** Resolves with undefined if the program has not ended within `timeoutMs` milliseconds. */
  readonly run: (command: readonly string[], timeoutMs: number) => Promise<ExecOutcome | undefined>;
  /** Kills all processes but the main one. */
  readonly end: readonly string[];
  /** Counts them. */
  readonly count: readonly string[];
  /** Is not there. The node says so, if it can. */
  readonly missing: readonly string[];
}

/**
 * Ends all processes of a pod but its main one. Returns true if none is left, and false if the pod must be replaced.
 * @throws GloveboxError `sandbox_lost`, SandboxUnreachable when nobody can tell because the node does not answer
 */
export async function endProcessesOf(pod: PodId, pods: Pods, programs: PodPrograms): Promise<boolean> {
  const isEmpty = await endAll({
    kill: async () => {
      const outcome = await programs.run(programs.end, KILL_LIMIT_MS);
      if (outcome && isAway(outcome)) {
        throw silent(await pods.requireRunning(pod), outcome);
      }
      return outcome !== undefined && outcome.stdout !== '';
    },
    any: async () => leftOf(await programs.run(programs.count, COUNT_LIMIT_MS)) !== 0,
  });
  if (isEmpty) return true;
  // Gone, or known to be cut off.
  const node = await pods.requireRunning(pod);
  // What it ran may have stopped the programs that were to end it. Then its node answers all the same.
  const outcome = await programs.run(programs.missing, ALIVE_LIMIT_MS);
  if (outcome && !isAway(outcome)) return false;
  if (!(await pods.becomesUnready(pod, NOTICE_LIMIT_MS))) return false;
  throw silent(node, outcome);
}

/**
 * Waits until the node of a pod answers. Returns for how many milliseconds it did not: 0 if it answered at once. A node of
 * which the cluster notices nothing for too long is not waited for any more: what runs in the pod may be in the way.
 * @throws GloveboxError `sandbox_lost`, SandboxUnreachable
 */
export async function awaitNode(
  pod: PodId,
  pods: Pick<Pods, 'requireRunning'>,
  { run, missing }: Pick<PodPrograms, 'run' | 'missing'>,
): Promise<number> {
  const began = performance.now();
  for (;;) {
    const outcome = await run(missing, ALIVE_LIMIT_MS);
    const tookMs = performance.now() - began;
    if (outcome && !isAway(outcome)) return tookMs < AT_ONCE_MS ? 0 : tookMs;
    // Gone, or known to be cut off by now.
    const node = await pods.requireRunning(pod);
    if (outcome) throw silent(node, outcome);
    if (tookMs >= NOTICE_LIMIT_MS) return tookMs;
  }
}

/** Why a program was not reached by an exec. Undefined if it was, or if the exec was ended from here. */
export function whyNotReached(node: string, end: ExecEnd): SandboxUnreachable | undefined {
  const isOwn = end.kind === 'broken' && end.why === CLOSED_HERE;
  return !isOwn && isAway({ end }) ? silent(node, { end }) : undefined;
}

/** The error for a node that does not answer, which the cluster may not have noticed yet. */
function silent(node: string, outcome: Pick<ExecOutcome, 'end'> | undefined): SandboxUnreachable {
  const hint = 'Call again. The session continues once the node, its kubelet and its container runtime answer.';
  return unreachable(`Its node "${node}" does not answer.`, hint, new Error(wordsOf(outcome)));
}

/** Number of processes that are left. Undefined if nothing says so. */
function leftOf(outcome: ExecOutcome | undefined): number | undefined {
  try {
    return countSchema.parse(JSON.parse(outcome?.stdout ?? '')).left;
  } catch {
    return undefined;
  }
}

/** What an API server says, without the words of the command in addresses. */
export function withoutQuery(said: string): string {
  return said.replaceAll(/\?[^"\s]*/g, '');
}

/** How the API server and a kubelet say that what is behind them does not answer. */
const NOT_KNOWN_YET = /does not exist|container not found/i;
const NO_CONNECTION = /dial (tcp|unix)|code = Unavailable|i\/o timeout|no route to host|connection re(fused|set)|EOF$/i;

/** Whether the node, its kubelet or its container runtime does not answer, whatever runs in the pod. */
function isAway({ end }: Pick<ExecOutcome, 'end'>): boolean {
  if (end.kind === 'refused') return NO_CONNECTION.test(end.message) || NOT_KNOWN_YET.test(end.message);
  return end.kind === 'broken';
}

function wordsOf(outcome: Pick<ExecOutcome, 'end'> | undefined): string {
  if (!outcome) return 'it says nothing';
  const { end } = outcome;
  if (end.kind === 'refused') return withoutQuery(end.message);
  return end.kind === 'broken' ? end.why : `exit code ${end.code}`;
}
