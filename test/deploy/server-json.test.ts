import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { expect, test } from 'vitest';
import { run } from '../clients/environments.ts';

/** The registry's own sources, of which the schemas are a part. The Go proxy has them with a checksum. */
const REGISTRY = 'github.com/modelcontextprotocol/registry@v1.8.9';

const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
const own = (name: string) => read(new URL(`../../${name}`, import.meta.url).pathname);

test('server.json is valid by the schema that the MCP registry publishes, and says what package.json says', {
  timeout: 300_000,
}, async () => {
  const { stdout, stderr, code } = await run('go', ['mod', 'download', '-json', REGISTRY], { cwd: '/' });
  expect(code, stderr).toBe(0);
  const server = own('server.json');
  const [, date = ''] = /\/schemas\/(\d{4}-\d\d-\d\d)\/server\.schema\.json$/.exec(server.$schema) ?? [];
  const schema = read(join(JSON.parse(stdout).Dir, 'internal/validators/schemas', `${date}.json`));
  // The schema has examples under a name that JSON Schema does not know.
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  const validate = ajv.compile(schema);
  expect(validate(server) ? [] : validate.errors).toEqual([]);
  expect(validate({ ...server, version: 1 })).toBe(false);
  const { name, version, mcpName } = own('package.json');
  expect(server).toMatchObject({ name: mcpName, version, packages: [{ identifier: name, version }] });
});
