import type { Answer, ApiDocument, Operation, Schema } from './api-document.ts';

/** A page of the site: its path below the root of the pages, and its text in Markdown. */
export interface Page {
  readonly path: string;
  readonly text: string;
}

const FOLDER = 'reference/rest';

/** Describes the REST API in Markdown: a page for each tag, one for the schemas, and one that lists them. */
export function makeApiPages(api: ApiDocument): Page[] {
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ title: `${method.toUpperCase()} ${path}`, operation })),
  );
  const pages = api.tags.map(({ name, description }) => {
    const own = operations.filter(({ operation }) => operation.tags?.includes(name));
    const sections = own.map(({ title, operation }) => describeOperation(title, operation, api));
    return { name, description, own, text: [`# REST: ${name}`, description, ...sections].join('\n\n') };
  });
  const lists = pages.map(({ name, description, own }) =>
    [
      `## [${name}](${name.toLowerCase()}.md)`,
      description,
      table(
        ['request', 'what it does'],
        own.map(({ title, operation }) => [`\`${title}\``, operation.summary ?? '']),
      ),
    ].join('\n\n'),
  );
  const head = `# REST API\n\n${api.info.description} A running server describes the same at \`GET /openapi.json\`, for tools.`;
  const schemas = `What the bodies consist of is on [the page of the schemas](schemas.md).`;
  return [
    { path: `${FOLDER}/index.md`, text: [head, schemas, ...lists, ''].join('\n\n') },
    ...pages.map(({ name, text }) => ({ path: `${FOLDER}/${name.toLowerCase()}.md`, text: `${text}\n` })),
    { path: `${FOLDER}/schemas.md`, text: describeSchemas(api.components.schemas) },
  ];
}

function describeOperation(title: string, operation: Operation, { components }: ApiDocument): string {
  const { summary = '', parameters = [], requestBody, responses = {} } = operation;
  const parts = [`## ${title}`, summary];
  if (parameters.length > 0) {
    const rows = parameters.map(({ name, in: place, required, description, schema = {} }) => [
      `\`${name}\`${required ? '' : ' (optional)'}`,
      place,
      describeType(schema),
      description ?? '',
    ]);
    parts.push('### Parameters', table(['name', 'in', 'type', 'meaning'], rows));
  }
  if (requestBody)
    parts.push(
      '### Body',
      ...Object.entries(requestBody.content).map(([type, { schema = {} }]) => describeBody(type, schema)),
    );
  const answers = Object.entries(responses).map(([status, answer]) =>
    describeAnswer(status, answer, components.responses),
  );
  parts.push('### Answers', table(['status', 'meaning', 'body'], answers));
  return parts.join('\n\n');
}

function describeBody(type: string, schema: Schema): string {
  const rows = listProperties(schema);
  return rows.length === 0 ? `\`${type}\`: ${describeType(schema)}.` : `\`${type}\`:\n\n${propertyTable(rows)}`;
}

function describeAnswer(status: string, answer: Answer, shared: ApiDocument['components']['responses']): string[] {
  const { description = '', content = {} } = shared[lastOf(answer.$ref)] ?? answer;
  const bodies = Object.entries(content).map(([type, { schema = {} }]) => `\`${type}\`: ${describeType(schema)}`);
  return [status, description, bodies.join('; ') || 'none'];
}

function describeSchemas(schemas: Readonly<Record<string, Schema>>): string {
  const sections = Object.entries(schemas).map(([name, schema]) => {
    const rows = listProperties(schema);
    return [`## ${name}`, schema.description ?? '', rows.length === 0 ? 'It has no properties.' : propertyTable(rows)];
  });
  const head = [
    '# Schemas',
    'Bodies of requests and answers of the [REST API](index.md). Tools have the same over MCP.',
  ];
  return `${[...head, ...sections.flat()].filter((part) => part !== '').join('\n\n')}\n`;
}

interface Property {
  readonly path: string;
  readonly required: boolean;
  readonly schema: Schema;
}

/** The properties of an object, and those of the objects within it: `error`, `error.code`, `results[].text`. */
function listProperties(schema: Schema, prefix = ''): Property[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const path = `${prefix}${name}`;
    return [
      { path, required: schema.required?.includes(name) ?? false, schema: inner },
      ...listProperties(inner, `${path}.`),
    ];
  });
  const items = schema.items ? listProperties(schema.items, `${prefix.replace(/\.$/, '')}[].`) : [];
  const { additionalProperties: others } = schema;
  const named = typeof others === 'object' ? listProperties(others, `${prefix}*.`) : [];
  return [...own, ...items, ...named];
}

function propertyTable(properties: readonly Property[]): string {
  const rows = properties.map(({ path, required, schema }) => [
    `\`${path}\`${required ? '' : ' (optional)'}`,
    describeType(schema),
    [schema.description, 'default' in schema ? `Default: ${code(schema.default)}.` : undefined]
      .filter(Boolean)
      .join(' '),
  ]);
  return table(['name', 'type', 'meaning'], rows);
}

function describeType(schema: Schema): string {
  const { $ref, oneOf, anyOf, items, type } = schema;
  if ($ref !== undefined) return `[${lastOf($ref)}](schemas.md#${lastOf($ref).toLowerCase()})`;
  const choices = oneOf ?? anyOf;
  if (choices) return [...new Set(choices.map(describeChoice))].join(' or ');
  if ('const' in schema) return code(schema.const);
  if (schema.enum) return schema.enum.map(code).join(', ');
  if (items) return `list of ${describeType(items)}`;
  return `${typeof type === 'string' ? type : (type ?? ['any']).join(' or ')}${describeLimits(schema)}`;
}

/** One of several: a call is told from others by the name of its tool, and known by its schema. */
function describeChoice(schema: Schema): string {
  const { name, arguments: input, result } = schema.properties ?? {};
  const inner = input ?? result;
  return name && 'const' in name && inner ? `${code(name.const)} with ${describeType(inner)}` : describeType(schema);
}

function describeLimits({ minimum, exclusiveMinimum, maximum, pattern }: Schema): string {
  const limits = [
    minimum === undefined ? undefined : `from ${minimum}`,
    exclusiveMinimum === undefined ? undefined : `above ${exclusiveMinimum}`,
    maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? undefined : `up to ${maximum}`,
    pattern === undefined ? undefined : `matching ${code(pattern)}`,
  ].filter((limit) => limit !== undefined);
  return limits.length === 0 ? '' : ` ${limits.join(' ')}`;
}

/** A value, or a pattern, as code; two backticks, for a pattern may have one. */
function code(value: unknown): string {
  return `\`\` ${typeof value === 'string' ? value : JSON.stringify(value)} \`\``;
}

function lastOf(reference = ''): string {
  return reference.slice(reference.lastIndexOf('/') + 1);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => escapeCell(cell)).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** A bar ends a cell even within code; tags and braces outside of code would be taken for markup. */
function escapeCell(cell: string): string {
  const escaped = cell.split(/(`` .*? ``|`[^`]*`)/).map((part, index) => (index % 2 === 1 ? part : escapeMarkup(part)));
  return escaped.join('').replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function escapeMarkup(text: string): string {
  return text.replaceAll('<', '&lt;').replaceAll('{{', '&#123;&#123;');
}
