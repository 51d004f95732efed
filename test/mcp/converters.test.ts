import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeTool, type JsonSchema } from '../../src/tools/description.ts';
import { createTools } from '../../src/tools/index.ts';
import { clientFile, nodeEnvironment, pythonEnvironment, run } from '../clients/environments.ts';

const SETUP_MS = 300_000;
const LIMITS = { execTimeoutS: 30, installTimeoutS: 60, maxTimeoutS: 3600, memoryMb: 512, codeLimit: 1024 };
const tools = createTools(LIMITS, (text) => ({ name: text, text }));
const listed = tools.map((tool) => {
  const { name, description, inputSchema } = describeTool(tool);
  return { name, description, inputSchema };
});

/** What a model under a strict schema may be held to, by OpenAI's guide to structured outputs. */
const ALLOWED = new Set([
  ...['type', 'description', 'enum', 'anyOf', 'title'],
  ...['properties', 'required', 'additionalProperties'],
  ...['items', 'minItems', 'maxItems'],
  ...['pattern', 'minimum', 'maximum'],
]);

/** What in a schema would be refused under strict rules, each with its place. */
function faultsOf(schema: JsonSchema, place: string): string[] {
  const { properties = {}, items, additionalProperties, required = [] } = schema;
  const names = Object.keys(properties as object);
  const faults = Object.keys(schema).flatMap((key) => (ALLOWED.has(key) ? [] : [`${place}: ${key}`]));
  if (schema['type'] === 'object') {
    if (additionalProperties !== false) faults.push(`${place}: open`);
    if (names.some((name) => !(required as string[]).includes(name))) faults.push(`${place}: not all required`);
  } else if (schema['type'] === undefined && schema['anyOf'] === undefined) faults.push(`${place}: no type`);
  const inner = Object.entries(properties as Record<string, JsonSchema>);
  if (items !== undefined) inner.push(['items', items as JsonSchema]);
  return [...faults, ...inner.flatMap(([name, described]) => faultsOf(described, `${place}.${name}`))];
}

/** Arguments whose text cannot be empty, though it says nothing then: strict schemas make all arguments required. */
function forcedTexts({ properties = {} }: JsonSchema, { required = [] }: JsonSchema): string[] {
  return Object.entries(properties as Record<string, JsonSchema>)
    .filter(([name]) => !(required as string[]).includes(name))
    .filter(([, { pattern }]) => pattern !== undefined && !new RegExp(pattern as string).test(''))
    .map(([name]) => name);
}

type Converted = Record<string, Record<string, JsonSchema>>;

test('the strict converters of openai-agents, pydantic-ai and langchain take every tool, and no text is forced from a model', {
  timeout: SETUP_MS,
}, async () => {
  const python = await pythonEnvironment('requirements-converters.txt');
  const { code, stdout, stderr } = await run(python, [clientFile('convert.py')], { input: JSON.stringify(listed) });
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  const converted = JSON.parse(stdout) as Converted;
  expect(Object.keys(converted)).toEqual(listed.map(({ name }) => name));
  for (const { name, inputSchema } of listed) {
    for (const [library, schema] of Object.entries(converted[name] ?? {})) {
      expect(faultsOf(schema, `${library} ${name}`)).toEqual([]);
      expect(forcedTexts(schema, inputSchema)).toEqual([]);
    }
  }
});

test.each(['6', '7'])(
  'the MCP client of the AI SDK %s hands every schema on as it is',
  {
    timeout: SETUP_MS,
  },
  async (version) => {
    const folder = await nodeEnvironment(`packages-ai-sdk-${version}.json`);
    copyFileSync(clientFile('convert.mjs'), join(folder, 'convert.mjs'));
    const input = JSON.stringify(listed);
    const { code, stdout, stderr } = await run(process.execPath, [join(folder, 'convert.mjs')], { input });
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    const schemas = JSON.parse(stdout) as Record<string, JsonSchema>;
    for (const { name, inputSchema } of listed) {
      expect(schemas[name]).toEqual({ properties: {}, ...inputSchema });
    }
  },
);
