import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type Dockerode from 'dockerode';
import { pack } from 'tar-stream';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { connectEngine } from '../connect/connect.ts';
import { buildImage } from './build.ts';
import { SANDBOX_IMAGE_DIR } from './build-context.ts';

const CANARY = 'canary-4b7e';
let docker: Dockerode;
/** An image with apt. */
let base: string;
/** Name of its release. */
let codename: string;

beforeAll(async () => {
  const hostEnvironment = { docker: { tlsVerify: false, configDir: join(homedir(), '.docker') }, home: homedir() };
  ({ docker } = await connectEngine({ hostEnvironment }));
  const images = await docker.listImages({ filters: { label: ['glovebox.image'] } });
  base = images.flatMap(({ RepoTags }) => RepoTags ?? []).at(-1) ?? '';
  codename = (await run(base, '. /etc/os-release; echo $VERSION_CODENAME')).trim();
});

async function tarOf(files: Readonly<Record<string, string>>, mode: number): Promise<Buffer> {
  const archive = pack();
  const folders = Object.keys(files).flatMap((name) => {
    const parts = name.split('/').slice(0, -1);
    return parts.map((_, at) => `${parts.slice(0, at + 1).join('/')}/`);
  });
  for (const name of new Set(folders)) archive.entry({ name, type: 'directory', mode: 0o755 });
  for (const [name, content] of Object.entries(files)) archive.entry({ name, mode }, content);
  archive.finalize();
  return await buffer(archive);
}

/** A package of Debian: an `ar` archive of three members. */
async function makePackage(): Promise<Buffer> {
  const control = 'Package: gbx-tool\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n';
  const members = {
    'debian-binary': Buffer.from('2.0\n'),
    'control.tar': await tarOf({ './control': control, './postinst': '#!/bin/sh\necho made > /etc/gbx-made\n' }, 0o755),
    'data.tar': await tarOf(
      {
        './usr/bin/gbx-tool': '#!/bin/sh\necho the tool runs\n',
        './usr/share/man/man1/gbx-tool.1': 'manual',
        './usr/share/doc/gbx-tool/README': 'readme',
        './usr/share/doc/gbx-tool/copyright': 'copyright',
      },
      0o755,
    ),
  };
  const parts: Uint8Array[] = [Buffer.from('!<arch>\n')];
  for (const [name, content] of Object.entries(members)) {
    const fields = [name.padEnd(16), '0'.padEnd(12), '0'.padEnd(6), '0'.padEnd(6), '100644'.padEnd(8)];
    parts.push(Buffer.from(`${fields.join('')}${String(content.length).padEnd(10)}\`\n`), content);
    if (content.length % 2 === 1) parts.push(Buffer.from('\n'));
  }
  return Buffer.concat(parts);
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Serves a mirror with that package to whoever knows its password. Returns a line of a sources.list. */
async function serveMirror(): Promise<string> {
  const made = await makePackage();
  const index = Buffer.from(
    'Package: gbx-tool\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n' +
      `Filename: pool/gbx-tool.deb\nSize: ${made.length}\nSHA256: ${sha256(made)}\n`,
  );
  const architectures = ['amd64', 'arm64'];
  const hashes = architectures.map((name) => ` ${sha256(index)} ${index.length} main/binary-${name}/Packages\n`);
  const release =
    `Suite: ${codename}\nCodename: ${codename}\nComponents: main\nArchitectures: ${architectures.join(' ')}\n` +
    `Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n${hashes.join('')}`;
  const files = new Map([
    [`/dists/${codename}/Release`, Buffer.from(release)],
    ...architectures.map((name) => [`/dists/${codename}/main/binary-${name}/Packages`, index] as const),
    ['/pool/gbx-tool.deb', made],
  ]);
  const server = createServer(({ url = '', headers }, response) => {
    const isKnown = headers.authorization === `Basic ${Buffer.from(`user:${CANARY}`).toString('base64')}`;
    const content = files.get(url);
    response.writeHead(isKnown ? (content ? 200 : 404) : 401, isKnown ? {} : { 'www-authenticate': 'Basic realm="x"' });
    response.end(isKnown ? content : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `deb [trusted=yes] http://user:${CANARY}@127.0.0.1:${address.port}/ ${codename} main`;
}

async function build(steps: readonly string[], hostSources: string) {
  const tag = `glovebox-test-tools:${process.pid}-${Math.random().toString(36).slice(2)}`;
  const dockerfile = [
    ...['ARG BASE', 'FROM $BASE AS tools', 'LABEL glovebox.build=$BUILD', 'USER 0:0', ...steps],
    ...['WORKDIR /fetch', 'COPY install-tools.sh list.txt ./', 'COPY access access'],
    'RUN sh install-tools.sh list.txt /tools access',
    ...['FROM $BASE', 'USER 0:0', 'COPY --from=tools /tools/ /'],
  ];
  const files = {
    Dockerfile: dockerfile.join('\n'),
    'install-tools.sh': readFileSync(join(SANDBOX_IMAGE_DIR, 'install-tools.sh'), 'utf8'),
    'list.txt': '# A comment.\ngbx-tool\n',
    'access/sources.list': hostSources,
    'access/apt.conf': '',
    'access/ca.crt': '',
  };
  let said = '';
  await buildImage(
    docker,
    {
      ...{ tag, dockerfile: 'Dockerfile', base, labels: {}, proxy: {}, title: 'Test' },
      files: Object.entries(files).map(([name, content]) => ({ name, content: Buffer.from(content) })),
      remark: (output) => {
        said = output;
        return undefined;
      },
    },
    () => {},
  );
  onTestFinished(async () => await docker.getImage(tag).remove({ force: true }));
  return { tag, said };
}

/** What a shell script prints in a container of an image. */
async function run(tag: string, script: string): Promise<string> {
  const made = await docker.createContainer({
    Image: tag,
    Cmd: ['sh', '-c', script],
    Tty: true,
    NetworkDisabled: true,
  });
  try {
    const output = await made.attach({ stream: true, stdout: true, stderr: true });
    await made.start();
    await made.wait();
    return (await buffer(output)).toString();
  } finally {
    await made.remove({ force: true });
  }
}

const LOOK =
  'gbx-tool; cat /etc/gbx-made; dpkg-query -W gbx-tool; ls -R /usr/share/doc/gbx-tool /usr/share/man 2>&1; ' +
  `grep -rs ${CANARY} /etc /var /usr/bin; ls -d /fetch /tools; stat -c %a / /usr/bin /etc`;

test.each(['the host', 'the base'])(
  'installs what is missing from the mirrors that %s names, and keeps no credentials',
  async (from) => {
    const mirror = await serveMirror();
    const own = `RUN rm -rf /etc/apt/sources.list* && echo '${mirror}' > /etc/apt/sources.list`;
    const { tag, said } = from === 'the base' ? await build([own], '') : await build([], `${mirror}\n`);
    const seen = await run(tag, LOOK);
    expect(seen, said).toContain('the tool runs');
    expect(seen).toContain('made');
    expect(seen).toMatch(/gbx-tool\s+1\.0/);
    expect(seen).toContain('copyright');
    expect(seen).not.toContain('README');
    expect(seen).not.toContain('gbx-tool.1');
    expect(seen).not.toContain(CANARY);
    expect(seen).toMatch(/755\s+755\s+755\s*$/);
  },
);

test('an image without reachable mirrors is made without tools, and says so', async () => {
  const { tag, said } = await build(
    ['RUN rm -rf /etc/apt/sources.list* && echo "deb http://127.0.0.1:9/ x main" > /etc/apt/sources.list'],
    '',
  );
  expect(said).toMatch(/^WITHOUT TOOLS: apt reached no mirror/m);
  expect(await run(tag, 'command -v gbx-tool || echo none')).toContain('none');
});
