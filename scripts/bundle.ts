/**
 * Builds the bundle for Claude Desktop: `npm run bundle -- [FILE]`. It has the built product with its runtime packages
 * as they are installed here, and a manifest that the bundle's own tool checks.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createTools } from '../src/tools/index.ts';
import { nodeEnvironment } from '../test/clients/environments.ts';
import { readPackages } from './dependencies/installed.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { name, version, description, license, engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

const out = resolve(process.argv[2] ?? `${name}-${version}.mcpb`);
const folder = mkdtempSync(join(tmpdir(), 'glovebox-bundle-'));
try {
  unpackProduct();
  for (const { path, use, isInstalled } of readPackages(ROOT)) {
    if (use !== 'runtime' || !isInstalled) continue;
    cpSync(join(ROOT, path), join(folder, path), { recursive: true, filter: (from) => isOfPackage(from, path) });
  }
  writeFileSync(join(folder, 'manifest.json'), `${JSON.stringify(manifest(), undefined, 2)}\n`);
  const tool = join(await nodeEnvironment('packages-mcpb.json'), 'node_modules/.bin/mcpb');
  execFileSync(process.execPath, [tool, 'validate', join(folder, 'manifest.json')], { stdio: 'inherit' });
  execFileSync(process.execPath, [tool, 'pack', folder, out], { stdio: ['ignore', 'ignore', 'inherit'] });
  process.stdout.write(`${out}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** What npm would publish. */
function unpackProduct(): void {
  const packed = mkdtempSync(join(tmpdir(), 'glovebox-packed-'));
  try {
    execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', packed], { cwd: ROOT });
    const [tarball = ''] = readdirSync(packed);
    mkdirSync(folder, { recursive: true });
    execFileSync('tar', ['-xzf', join(packed, tarball), '-C', folder, '--strip-components=1']);
  } finally {
    rmSync(packed, { recursive: true });
  }
}

/** Packages that are installed within another have entries of their own. */
function isOfPackage(from: string, path: string): boolean {
  return !from.slice(join(ROOT, path).length).includes('node_modules');
}

function manifest(): object {
  const limits = { execTimeoutS: 30, installTimeoutS: 60, maxTimeoutS: 3600, memoryMb: 1024, codeLimit: 1_000_000 };
  const tools = createTools(limits, (text) => ({ name: text, text }));
  return {
    manifest_version: '0.3',
    name,
    display_name: 'Glovebox',
    version,
    description,
    long_description:
      'Runs Python that a model writes in a sealed container, without a network. It needs a container engine on this ' +
      'machine: Docker, Podman, OrbStack, Colima or Rancher Desktop. Files and packages stay for the session.',
    author: { name: 'The authors of Glovebox' },
    license,
    keywords: ['python', 'sandbox', 'code-execution'],
    server: {
      type: 'node',
      entry_point: 'dist/cli.js',
      mcp_config: {
        command: 'node',
        args: [['$', '{__dirname}/dist/cli.js'].join(''), 'stdio'],
        env: { GLOVEBOX_IMAGE: ['$', '{user_config.image}'].join('') },
      },
    },
    tools: tools.map(({ name: tool, title }) => ({ name: tool, description: title })),
    compatibility: { platforms: ['darwin', 'linux', 'win32'], runtimes: { node: engines.node } },
    user_config: {
      image: {
        type: 'string',
        title: 'Image of the sandboxes',
        description: 'What code can import: data has numpy, pandas and matplotlib, slim has Python only.',
        default: 'data',
        required: true,
      },
    },
  };
}
