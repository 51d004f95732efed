import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { listSecrets, setSecret } from './changes.ts';
import { examineSecrets } from './examine.ts';
import { keyPath, secretsPath } from './file.ts';
import { Secrets } from './secrets.ts';

const alice = { name: 'TOKEN', owner: 'alice' };
let root: string;
let place: { stateDir: string; secretsFile: string };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'glovebox-secrets-file-'));
  const [stateDir, folder] = [join(root, 'state'), join(root, 'secrets')];
  for (const path of [stateDir, folder]) mkdirSync(path);
  place = { stateDir, secretsFile: join(folder, 'secrets.json') };
});
afterEach(() => rmSync(root, { recursive: true }));

/** Has a folder show files as a kubelet does: by links over a folder that is replaced at once. */
function mount(files: string, mounted: string): void {
  const next = join(mounted, '..next');
  symlinkSync(files, next);
  renameSync(next, join(mounted, '..data'));
}

describe('a file of secrets that is named', () => {
  it('is used in place of the one of the state, with its key beside it', () => {
    setSecret(place, alice, 'value-of-alice');
    expect(secretsPath(place)).toBe(place.secretsFile);
    expect(keyPath(place)).toBe(join(root, 'secrets', 'secrets.key'));
    expect(new Secrets(place).valueOf('TOKEN', 'alice')).toBe('value-of-alice');
    expect(readdirSync(place.stateDir)).toEqual([]);
  });

  it('may have its key elsewhere', () => {
    const apart = { ...place, secretsKeyFile: join(root, 'apart.key') };
    setSecret(apart, alice, 'value-of-alice');
    expect(new Secrets(apart).valueOf('TOKEN', 'alice')).toBe('value-of-alice');
    expect(() => new Secrets(place).valueOf('TOKEN', 'alice')).toThrow('their key, is not there');
  });

  it('is read again once a kubelet has put another one in its place', () => {
    const mounted = join(root, 'mounted');
    mkdirSync(mounted);
    const made = ['first', 'second'].map((value) => {
      const folder = join(root, value);
      mkdirSync(folder);
      setSecret({ ...place, secretsFile: join(folder, 'secrets.json') }, alice, `${value}-of-alice`);
      return folder;
    });
    mount(made[0] ?? '', mounted);
    for (const name of ['secrets.json', 'secrets.key']) symlinkSync(join('..data', name), join(mounted, name));
    const secrets = new Secrets({ ...place, secretsFile: join(mounted, 'secrets.json') });
    expect(secrets.valueOf('TOKEN', 'alice')).toBe('first-of-alice');
    mount(made[1] ?? '', mounted);
    expect(secrets.valueOf('TOKEN', 'alice')).toBe('second-of-alice');
  });

  it('is changed where a link leads to it, and the link stays', () => {
    const link = { ...place, secretsFile: join(root, 'link.json'), secretsKeyFile: keyPath(place) };
    setSecret(place, alice, 'value-of-alice');
    symlinkSync(place.secretsFile, link.secretsFile);
    setSecret(link, { name: 'OTHER' }, 'another-value');
    expect(readlinkSync(link.secretsFile)).toBe(place.secretsFile);
    expect(listSecrets(place).map(({ name }) => name)).toEqual(['OTHER', 'TOKEN']);
  });

  it('that is not there is told to an operator', async () => {
    expect(await examineSecrets(place)).toEqual([
      ['warn', 'secrets', expect.stringContaining('GLOVEBOX_SECRETS_FILE, is not there'), expect.anything()],
    ]);
  });
});

test.runIf(process.getuid?.() === 0)(
  'a mounted file that the group of the pod reads was said to be open to others',
  async () => {
    setSecret(place, alice, 'value-of-alice');
    const paths = [place.secretsFile, keyPath(place)];
    for (const path of paths) {
      chmodSync(path, 0o440);
      chownSync(path, 1, 0);
    }
    expect(await examineSecrets(place)).toEqual([['ok', 'secrets', 'secrets can be decrypted']]);
    for (const path of paths) chmodSync(path, 0o444);
    expect((await examineSecrets(place)).map(([level]) => level)).toEqual(['ok', 'warn', 'warn']);
  },
);
