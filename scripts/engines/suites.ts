import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collect, waitForExit } from '../../src/lib/run-command.ts';
import type { Shortfall } from '../../src/sandbox/assurances.ts';

/** Files of tests by subject. Each is a group of lines on the page. */
export const SUITES = {
  contract: ['src/engines/docker/engine-contract.docker.test.ts'],
  hardening: ['test/hardening'],
  hostile: ['test/hostile'],
  readme: ['test/api/readme.test.ts'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** Subjects whose tests take whatever no limit keeps from them. */
const NEEDS_LIMITS: readonly SuiteName[] = ['hardening', 'hostile'];

/** Whether the tests of a subject may run where these protections are missing. */
export function mayRun(name: SuiteName, missing: readonly Shortfall[]): boolean {
  const isUnlimited = missing.some((one) => one.name === 'memory' || one.name === 'pids');
  return !(isUnlimited && NEEDS_LIMITS.includes(name));
}

export type SuiteName = keyof typeof SUITES;

export const SUITE_NAMES = Object.keys(SUITES) as SuiteName[];

/** One test on one engine. */
export interface Line {
  readonly title: string;
  /** `absent`: it does not apply to the engine. */
  readonly outcome: 'held' | 'failed' | 'absent';
  /** First line of the failure. */
  readonly why?: string;
}

/** The part of vitest's JSON report that is read here. */
interface Report {
  readonly testResults: readonly FileReport[];
}

interface FileReport {
  readonly name: string;
  readonly status: string;
  readonly message?: string;
  readonly assertionResults: readonly {
    readonly fullName: string;
    readonly status: string;
    readonly failureMessages?: readonly string[];
  }[];
}

export interface SuiteOptions {
  /** `DOCKER_HOST` and the settings that the tests read. */
  readonly env: Readonly<Record<string, string>>;
  /** Most files of tests at once; as many as elsewhere if left out. */
  readonly workers?: number;
  readonly signal: AbortSignal;
}

/** Runs the tests of a subject on an engine. Rejects when they could not be run at all. */
export async function runSuite(name: SuiteName, { env, workers, signal }: SuiteOptions): Promise<Line[]> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-engines-'));
  try {
    const file = join(folder, 'report.json');
    const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const args = [
      ...['run', '--project', 'docker', '--reporter=json', `--outputFile=${file}`],
      ...(workers === undefined ? [] : [`--maxWorkers=${workers}`]),
      ...SUITES[name],
    ];
    const child = spawn('env', [...settings, 'vitest', ...args], { stdio: ['ignore', 'ignore', 'pipe'], signal });
    const stderr = collect(child.stderr);
    await waitForExit(child, stderr);
    signal.throwIfAborted();
    return readReport(readText(file) ?? refuse(stderr));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function refuse(stderr: readonly string[]): never {
  throw new Error(stderr.join('').trim().slice(-1000) || 'The tests did not run.');
}

/** Reads the lines of vitest's JSON report. */
export function readReport(json: string): Line[] {
  return (JSON.parse(json) as Report).testResults.flatMap(readFile);
}

/** Reads the lines of one file. If it could not be loaded, or its set-up failed, none of its tests held. */
function readFile({ name, status: fileStatus, message, assertionResults }: FileReport): Line[] {
  const failed = (title: string, why?: string): Line => ({ title, outcome: 'failed', why: firstLine(why) });
  const broken = fileStatus === 'failed' && !assertionResults.some(({ status }) => status === 'failed');
  if (assertionResults.length === 0) return [failed(name.replace(/.*\//, ''), message)];
  return assertionResults.map(({ fullName, status, failureMessages: [why] = [] }) => {
    const title = fullName.trim();
    if (status === 'passed') return { title, outcome: 'held' };
    return status === 'failed' || broken ? failed(title, why ?? message) : { title, outcome: 'absent' };
  });
}

function firstLine(text = ''): string {
  const line = text.split('\n').find((part) => part.trim() !== '') ?? 'no message';
  return line.trim().slice(0, 300);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
