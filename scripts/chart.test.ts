import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { version } from '../src/version.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

/** What users fill in themselves, and the chart passes on. */
const FREE = ['settings', 'resources'];

const schemaSchema = z.looseObject({
  get properties() {
    return z.record(z.string(), schemaSchema).optional();
  },
});

/** Paths of the values of the chart, as `--set` has them. */
function pathsOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || FREE.includes(path)) return [path];
  const entries = Object.entries(value);
  return entries.length === 0
    ? [path]
    : entries.flatMap(([name, part]) => pathsOf(part, path ? `${path}.${name}` : name));
}

function pathsOfSchema({ properties }: z.infer<typeof schemaSchema>, path = ''): string[] {
  if (properties === undefined || FREE.includes(path)) return [path];
  return Object.entries(properties).flatMap(([name, part]) => pathsOfSchema(part, path ? `${path}.${name}` : name));
}

const values = pathsOf(parse(read('charts/glovebox/values.yaml')));

test('the chart is of the version of the package', () => {
  expect(parse(read('charts/glovebox/Chart.yaml'))).toMatchObject({ version, appVersion: version });
});

test('the schema of the chart knows the values that the chart has, and no others', () => {
  const known = pathsOfSchema(schemaSchema.parse(JSON.parse(read('charts/glovebox/values.schema.json'))));
  // Helm gives every chart that one.
  expect(known.filter((path) => path !== 'global').toSorted()).toEqual(values.toSorted());
});

test('each value of the chart is explained', () => {
  const page = read('docs/kubernetes.md');
  const named = new Set([...page.matchAll(/`([\w.]+)`/g)].map(([, name = '']) => name));
  expect(values.filter((path) => !named.has(path))).toEqual([]);
});
