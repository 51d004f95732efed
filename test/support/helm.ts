import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { ensureProgram } from '../../scripts/kubernetes/program.ts';
import { type Outcome, runCommand } from '../../src/lib/run-command.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const CHART = `${ROOT}charts/glovebox`;
export const MANIFESTS = `${ROOT}manifests`;
const LIMIT_MS = 120_000;

/** An object of the cluster, as far as the tests look. */
const objectSchema = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
export type ClusterObject = z.infer<typeof objectSchema>;

/** Runs a part of the program of the lab, such as Helm. */
export async function runPart(part: 'helm' | 'kubectl', ...args: readonly string[]): Promise<Outcome> {
  const program = await ensureProgram((line) => void process.stderr.write(`${line}\n`));
  return await runCommand(program, [part, ...args], { timeoutMs: LIMIT_MS });
}

/** Follows what a container of a pod prints. Resolves with all of it once a line ends it. @throws Error if it ends before */
export async function followLogs(place: readonly string[], isLast: (line: string) => boolean): Promise<string> {
  const program = await ensureProgram((line) => void process.stderr.write(`${line}\n`));
  const lines: string[] = [];
  const seen = new AbortController();
  const onLine = (line: string) => {
    lines.push(line);
    if (isLast(line)) seen.abort();
  };
  const args = ['kubectl', 'logs', '--follow', ...place];
  const outcome = await runCommand(program, args, { timeoutMs: LIMIT_MS, onLine, signal: seen.signal }).catch(
    () => undefined,
  );
  if (outcome) throw new Error(`The last line did not come: ${outcome.stderr}${lines.slice(-5).join('\n')}`);
  return `${lines.join('\n')}\n`;
}

/** Runs Helm or kubectl. @throws Error with what it said */
export async function expectPart(part: 'helm' | 'kubectl', ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runPart(part, ...args);
  if (code !== 0) throw new Error(`"${part} ${args.join(' ')}" failed: ${stderr}${stdout}`);
  return stdout;
}

/** What the chart makes, with values as `--set` takes them. */
export async function templateChart(...values: readonly string[]): Promise<ClusterObject[]> {
  const set = values.flatMap((value) => ['--set', value]);
  return readObjects(await expectPart('helm', 'template', 'glovebox', CHART, '--namespace', 'glovebox', ...set));
}

function readObjects(text: string): ClusterObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS())
    .filter((content) => content !== null)
    .map((content) => objectSchema.parse(content));
}
