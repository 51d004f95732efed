import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { environment } from './environment.ts';

/** What is run everywhere. */
export const CODE = 'print(1)';
export const OUTPUT = '1\n';

/** Runs a program to its end; its stdout. Rejects when it fails. */
export function run(command: string, args: readonly string[], env = environment()): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdin.end();
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(stdout);
      else reject(new Error(`${command} ${args.join(' ')} ended with ${code}: ${stderr.slice(0, 500)}`));
    });
  });
}

/** The machine's own Python: the interpreter itself, not a version manager's script that looks for it first. */
export async function findPython(): Promise<string> {
  if (existsSync('/usr/bin/python3')) return '/usr/bin/python3';
  return (await run('python3', ['-c', 'import sys; print(sys.executable)'])).trim();
}

export function assertOutput(output: string, of: string): void {
  if (output !== OUTPUT) throw new Error(`${of} printed ${JSON.stringify(output.slice(0, 200))}.`);
}
