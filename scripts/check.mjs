// The whole static gate, its parts side by side: types, lint with format, layers, dead code, links, dependencies.
import { spawn } from 'node:child_process';

const CHECKS = {
  types: ['tsc', '--noEmit'],
  'types of the page': ['tsc', '-p', 'dashboard'],
  'lint, format': ['biome', 'ci', '--error-on-warnings', '--colors=off'],
  layers: ['node', 'scripts/check-layers.mjs'],
  'the runner': ['node', 'scripts/check-runner.mjs'],
  'dead code': ['knip', '--no-progress'],
  links: ['node', 'scripts/check-links.ts'],
  dependencies: ['node', 'scripts/check-dependencies.ts'],
};

const results = await Promise.all(
  Object.entries(CHECKS).map(async ([name, [command, ...args]]) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], shell: process.platform === 'win32' });
    const output = [];
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => output.push(chunk));
    const code = await new Promise((resolve) => child.on('error', () => resolve(127)).on('close', resolve));
    return { name, code, output: Buffer.concat(output).toString() };
  }),
);

for (const { name, code, output } of results) {
  if (code !== 0) process.stdout.write(`FAIL  ${name}\n${output}\n`);
  else process.stdout.write(name === 'dependencies' ? `ok    ${name}: ${output}` : `ok    ${name}\n`);
}
process.exitCode = results.every(({ code }) => code === 0) ? 0 : 1;
