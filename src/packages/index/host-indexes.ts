import { runCommand } from '../../lib/run-command.ts';

/** Settings of pip that also work in a container. Settings with paths of the host do not. */
const PORTABLE = ['index-url', 'extra-index-url', 'trusted-host', 'proxy', 'timeout', 'default-timeout', 'retries'];

/** Python code that prints the default index of pip. */
export const PIP_DEFAULT_INDEX = 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)';

/** Lists the indexes that pip uses on this host, by its configuration or by default. Empty if there is no pip. */
export async function readHostIndexes(): Promise<string[]> {
  const settings = await readPipSettings();
  const configured = [settings.get('index-url'), settings.get('extra-index-url')]
    .join(' ')
    .split(/\s+/)
    .filter(Boolean);
  if (settings.has('index-url')) return configured;
  const { code, stdout } = await runCommand('python3', ['-c', PIP_DEFAULT_INDEX], { timeoutMs: 15_000 });
  return code === 0 ? [stdout.trim(), ...configured] : configured;
}

/** Reads the portable settings of pip on this host. Empty if there is no pip. */
export async function readPipSettings(signal?: AbortSignal): Promise<Map<string, string>> {
  for (const [command, ...args] of [['python3', '-m', 'pip'], ['pip3'], ['pip']] as const) {
    const { code, stdout } = await runCommand(command, [...args, 'config', 'list'], { timeoutMs: 15_000, signal });
    if (code === 0) return parsePipSettings(stdout);
  }
  return new Map();
}

/** Reads the portable settings from the output of `pip config list`, in pip's own order of precedence. */
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
