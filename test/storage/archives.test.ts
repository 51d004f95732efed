import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe } from 'vitest';
import { EncryptedFiles } from '../../src/archives/files/encrypted-files.ts';
import { S3Files } from '../../src/archives/files/s3-files.ts';
import { ArchiveStore } from '../../src/archives/store.ts';
import { createLog } from '../../src/log.ts';
import { testArchives } from '../support/archive-contract.ts';
import { openStorage, type Storage } from '../support/storage.ts';

const KEY = { id: 'one', bytes: Buffer.alloc(32, 1) };

let storage: Storage;
beforeAll(async () => {
  storage = await openStorage();
}, 600_000);
afterAll(async () => await storage[Symbol.asyncDispose]());

let forms = 0;

describe.each([
  ['in a bucket', []],
  ['encrypted in a bucket', [KEY]],
])('%s', (_, keys) => {
  testArchives(() => {
    forms += 1;
    const prefix = `form-${forms}/`;
    const contents = () => storage.files().filter((path) => path.includes(`/objects/archives/${prefix}files/`));
    return {
      open: async (maxBytes) => {
        const files = new S3Files(storage.open(prefix), 'one', createLog('error'));
        const store = new ArchiveStore(new EncryptedFiles(files, () => keys), maxBytes);
        await store.records();
        return store;
      },
      damage: () => {
        for (const path of contents()) {
          const content = readFileSync(path);
          content[50] = (content[50] ?? 0) ^ 1;
          writeFileSync(path, content);
        }
      },
      count: () => contents().length,
    };
  });
});
