import type { ClientToolAnswer, ClientTools } from '../execution/tool-access.ts';
import { pythonNames } from './python-names.ts';
import { type JsonObject, type ServerCatalog, type ToolAnswer, ToolFailure } from './types.ts';

/** Name of the server that a caller's own tools belong to. */
export const CLIENT_SERVER = 'client';

/** A caller's own tools, as a server that code finds beside the others. */
export class ClientServer {
  /** The caller answers one batch after another, so that more at once would only wait here. */
  readonly limits = { maxCalls: 5000, maxConcurrent: 50 };
  readonly catalog: ServerCatalog;
  readonly #client: ClientTools;

  constructor(client: ClientTools) {
    this.#client = client;
    const names = pythonNames(client.tools.map(({ name }) => name));
    this.catalog = {
      name: CLIENT_SERVER,
      description: 'Tools of the program that called for this code.',
      tools: client.tools.map(({ name, description = '', inputSchema = ANY_OBJECT }, index) => ({
        ...{ name, python: names[index] ?? name, description, inputSchema, writes: true },
      })),
    };
  }

  /** @throws ToolFailure */
  async call(name: string, args: JsonObject, signal: AbortSignal): Promise<ToolAnswer> {
    if (!this.catalog.tools.some((tool) => tool.name === name)) {
      throw new ToolFailure(
        'bad_arguments',
        `There is no tool ${JSON.stringify(name.slice(0, 64))} of ${CLIENT_SERVER}.`,
        `Its tools: ${this.catalog.tools.map((tool) => tool.name).join(', ')}.`,
      );
    }
    return toAnswer(await this.#client.call(name, args, signal));
  }

  /** @throws ToolFailure always: no answer of it has a link */
  async read(): Promise<never> {
    throw new ToolFailure('bad_arguments', `${CLIENT_SERVER} has no resources to read.`, 'Call one of its tools.');
  }
}

const ANY_OBJECT = { type: 'object' } as const;

function toAnswer(answer: ClientToolAnswer): ToolAnswer {
  if ('refused' in answer) throw answer.refused === 'limit' ? tooManyRounds() : clientGone();
  if ('error' in answer) {
    throw new ToolFailure('upstream', answer.error, 'This is what the tool itself said.');
  }
  const { value } = answer;
  if (typeof value === 'string') return { parts: [{ type: 'text', text: value }], bytes: Buffer.byteLength(value) };
  return { parts: [{ type: 'json', value: value ?? null }], bytes: Buffer.byteLength(JSON.stringify(value ?? null)) };
}

function tooManyRounds(): ToolFailure {
  return new ToolFailure(
    'limit',
    'This execution has asked its caller as often as it may.',
    'Make more calls at the same time with tools.map: they are one round.',
  );
}

function clientGone(): ToolFailure {
  return new ToolFailure(
    'client_gone',
    'The caller is not there any more to answer.',
    'The execution is about to be ended.',
  );
}
