import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type Dockerode from 'dockerode';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connectEngine } from '../connect/connect.ts';
import { readProgress } from '../host/progress.ts';
import { packContext, SANDBOX_IMAGE_DIR } from './build-context.ts';
import { ensureImage, type ImageOptions } from './sandbox-image.ts';

let docker: Dockerode;
/** Any image that is there: what is built on it does not matter here. */
let base: string;

beforeAll(async () => {
  const hostEnvironment = { docker: { tlsVerify: false, configDir: join(homedir(), '.docker') }, home: homedir() };
  ({ docker } = await connectEngine({ hostEnvironment }));
  const images = await docker.listImages({ filters: { label: ['glovebox.image'] } });
  base = images.flatMap(({ RepoTags }) => RepoTags ?? []).at(-1) ?? '';
});

afterAll(async () => {
  // Of two builds at once, one loses its names to the other.
  const dangling = { dangling: ['true'], label: [`glovebox.base=${base}`] };
  await docker.pruneImages({ filters: JSON.stringify(dangling) });
});

/** A context with the files that a plan names; every test's own, so that its images are too. */
function makeContext(files: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), 'gbx-image-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  for (const folder of ['runner', 'site-packages', 'prepare']) mkdirSync(join(directory, folder));
  const all = {
    'runner/__main__.py': directory,
    'requirements-data.txt': '',
    'requirements-slim.txt': '',
    'debian-data.txt': '',
    'debian-slim.txt': '',
    'install-tools.sh': '',
    'pip.conf': '',
    'uv.toml': '',
    'prepare/__main__.py': directory,
    ...files,
  };
  for (const [name, content] of Object.entries(all)) writeFileSync(join(directory, name), content);
  return directory;
}

async function build(image: string, contextDir: string, access: Partial<ImageOptions> = {}) {
  const messages: string[] = [];
  const options = { image, base, setup: 'never', hostEnvironment: { proxy: {} }, contextDir, ...access } as const;
  const reference = await ensureImage(docker, options, (message) => messages.push(message));
  return { reference, messages };
}

function removeLater(...references: string[]): void {
  onTestFinished(async () => {
    for (const reference of references) await docker.getImage(reference).remove({ force: true });
  });
}

/** Of this file's builds: others may be building beside them. */
const STAGE_LABEL = `glovebox.test=${process.pid}`;

async function listStages(): Promise<string[]> {
  const images = await docker.listImages({ all: true, filters: { label: ['glovebox.build', STAGE_LABEL] } });
  return images.map(({ Id }) => Id);
}

const DOCKERFILE = ['ARG BASE', 'FROM $BASE', 'USER 0', 'COPY runner /opt/test', 'RUN echo built > /opt/built'].join(
  '\n',
);
const FETCH_STAGE = [
  ...['ARG BASE', 'FROM $BASE AS fetch', `LABEL glovebox.build=$BUILD ${STAGE_LABEL}`],
  ...['USER 0', 'COPY access /access', 'RUN mkdir /packages'],
].join('\n');

test('builds an image with progress, and then finds it without a word', async () => {
  const context = makeContext({ Dockerfile: DOCKERFILE, 'packages.Dockerfile': 'ARG BASE\nFROM $BASE\n' });
  const first = await build('slim', context);
  const { Config } = await docker.getImage(first.reference).inspect();
  removeLater(first.reference, Config.Labels['glovebox.parent'] ?? '');
  expect(first.reference).toMatch(/^glovebox-sandbox:slim-[0-9a-f]{12}$/);
  const step = /^Building the sandbox image \(slim\): step 3\/\d+: USER 0$/;
  expect(first.messages).toContainEqual(expect.stringMatching(step));
  expect(Config.Labels).toMatchObject({ 'glovebox.image': 'slim', 'glovebox.base': base });
  expect(await build('slim', context)).toEqual({ reference: first.reference, messages: [] });
});

test('two builds of the same image at once do each other no harm', async () => {
  const context = makeContext({
    Dockerfile: DOCKERFILE,
    'packages.Dockerfile': `${FETCH_STAGE}\nFROM $BASE\nCOPY --from=fetch /packages/ /\n`,
  });
  const [one, two] = await Promise.all([build('data', context), build('data', context)]);
  const { Config } = await docker.getImage(one.reference).inspect();
  removeLater(one.reference, Config.Labels['glovebox.parent'] ?? '');
  expect(one.reference).toBe(two.reference);
  expect(await listStages()).toEqual([]);
});

test('credentials of the index and the proxy are neither in a layer nor in the history', async () => {
  const secret = 'canary-7d1f';
  const context = makeContext({
    Dockerfile: DOCKERFILE,
    'packages.Dockerfile':
      `${FETCH_STAGE}\nRUN grep -q ${secret.slice(0, 6)} access/pip.conf && echo "$http_proxy" | grep -q ${secret.slice(0, 6)}\n` +
      'FROM $BASE\nCOPY --from=fetch /packages/ /\n',
  });
  const { reference } = await build('data', context, {
    indexUrl: [`https://user:${secret}@index.invalid/simple`],
    hostEnvironment: { proxy: { http_proxy: `http://user:${secret}@proxy.invalid` } },
  });
  const { Config } = await docker.getImage(reference).inspect();
  removeLater(reference, Config.Labels['glovebox.parent'] ?? '');
  let seen = '';
  for await (const chunk of await docker.getImage(reference).get()) {
    seen = seen.slice(-secret.length) + (chunk as Buffer).toString('latin1');
    expect(seen.includes(secret)).toBe(false);
    seen = seen.slice(-secret.length);
  }
});

test('a failed build tells its last lines and leaves nothing of the stage that held credentials', async () => {
  const context = makeContext({
    Dockerfile: DOCKERFILE,
    'packages.Dockerfile': `${FETCH_STAGE}\nRUN echo the index is on fire; exit 3\n`,
  });
  await expect(build('data', context)).rejects.toMatchObject({
    code: 'engine_unavailable',
    message: expect.stringMatching(/the index is on fire[\s\S]*code: 3/),
    hint: expect.stringContaining('GLOVEBOX_INDEX_URL'),
  });
  expect(await listStages()).toEqual([]);
});

/** An image whose `python3` says that it is of this version, or that has none. */
async function makeBase(version: string | undefined): Promise<string> {
  const python = [
    '#!/bin/sh',
    // As the interpreter would answer packages.Dockerfile; whatever else is asked is a fetch.
    `case "$2" in *sys.version_info*) exit 1;;`,
    `*platform*) echo ${version};; *) echo fetched; exit 9;; esac`,
  ];
  const files = [
    {
      name: 'Dockerfile',
      content: Buffer.from(
        `FROM ${base}\nUSER 0\nRUN rm -f $(which -a python3)\nCOPY bin /usr/local/bin\nRUN chmod -R 755 /usr/local/bin\n`,
      ),
    },
    { name: `bin/${version === undefined ? 'other' : 'python3'}`, content: Buffer.from(python.join('\n')) },
  ];
  const tag = `glovebox-test-base:${version ?? 'none'}-${process.pid}`;
  const body = await docker.buildImage(packContext(files), { version: '1', t: tag, rm: true, forcerm: true });
  for await (const event of readProgress(body)) void event;
  removeLater(tag);
  return tag;
}

test.each([
  ['3.11.2', 'has Python 3.11.2'],
  ['3.16.0a1', 'has Python 3.16.0a1'],
  [undefined, 'has no python3'],
])('a base with Python %s is refused with the reason before anything is downloaded', async (version, reason) => {
  const packages = readFileSync(join(SANDBOX_IMAGE_DIR, 'packages.Dockerfile'), 'utf8');
  const context = makeContext({
    Dockerfile: DOCKERFILE,
    'packages.Dockerfile': packages.replace('LABEL', `LABEL ${STAGE_LABEL}`),
  });
  const unfit = await makeBase(version);
  await expect(build('slim', context, { base: unfit })).rejects.toMatchObject({
    code: 'engine_unavailable',
    message: `The base image ${unfit} ${reason}, but the sandbox image needs Python 3.12 to 3.15 with pip.`,
    hint: expect.stringContaining('GLOVEBOX_BASE='),
  });
  expect(await listStages()).toEqual([]);
});

test('an image of somebody else must be there, or an error names the setting', async () => {
  expect((await build(base, tmpdir())).reference).toBe(base);
  await expect(build('glovebox-nonesuch.invalid/x:1', tmpdir())).rejects.toMatchObject({
    code: 'engine_unavailable',
    message: expect.stringContaining('glovebox-nonesuch.invalid/x:1 (GLOVEBOX_IMAGE)'),
  });
});
