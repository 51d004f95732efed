import { resolve } from 'node:path';
import { CLIENTS, type Client } from '../client-config/clients.ts';
import type { Connection } from '../client-config/connection.ts';
import { FORMATS } from '../client-config/formats/index.ts';
import { printEntry, type Target } from '../client-config/merge.ts';
import { writeEntry } from '../client-config/write.ts';
import { type ClientPlaces, KEY_VARIABLE, readClientPlaces } from '../config/client-places.ts';
import type { Config } from '../config/load.ts';
import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import type { CommandContext } from './context.ts';
import { connectionOf } from './mcp-connection.ts';

/** Options of `glovebox mcp-config`. */
export interface McpConfigOptions {
  readonly write?: boolean;
  readonly force?: boolean;
  /** Address of a running server, or true for the one that the settings say. */
  readonly http?: string | true;
  readonly project?: boolean;
  readonly file?: string;
  readonly name: string;
}

type Say = CommandContext['say'];

/** Names that every client accepts, and that need no quotes in any format. */
const NAME = /^[a-zA-Z][\w-]{0,39}$/;

/**
 * Runs `glovebox mcp-config`: writes a configuration to stdout, or merges it into the client's file.
 * @param given settings of the command line, for the server that a client starts
 */
export async function runMcpConfig(
  id: string | undefined,
  options: McpConfigOptions,
  { config, given, say }: { config: Config; given: Readonly<Record<string, string>>; say: Say },
): Promise<void> {
  if (id === undefined) return listClients(options, readClientPlaces());
  const client = findClient(id);
  if (!NAME.test(options.name)) {
    throw new GloveboxError('invalid_input', `--name is ${JSON.stringify(options.name)}: clients would not take it.`, {
      hint: 'Use a letter, then letters, digits, "_" and "-", 40 at most.',
    });
  }
  const http = client.id === 'open-webui' ? (options.http ?? true) : options.http;
  const connection = await connectionOf(config, { http, given, say });
  const file = fileOf(client, options, readClientPlaces());
  const path = client.parent.length === 0 ? [] : [...client.parent, options.name];
  const target = { format: FORMATS[client.format], path };
  const entry = client.entry(connection, options.name);
  if (options.write) write(client, { ...target, file: demandFile(client, file) }, { entry, force: options.force, say });
  else {
    if (file !== undefined) say(`This belongs into ${file}; --write puts it there.`);
    process.stdout.write(printEntry(target, entry));
  }
  adviseOnKey(connection, JSON.stringify(entry), say);
  say(client.next);
}

/** Lists the clients on stdout, each with its file. */
function listClients(options: McpConfigOptions, places: ClientPlaces): void {
  if (options.write) {
    throw new GloveboxError('invalid_input', 'CLIENT is missing.', { hint: 'glovebox mcp-config lists the clients.' });
  }
  const width = Math.max(...CLIENTS.map(({ id }) => id.length)) + 2;
  const lines = CLIENTS.map(
    (client) => `${client.id.padEnd(width)}${fileOf(client, options, places) ?? '(no file)'}\n`,
  );
  process.stdout.write(lines.join(''));
}

function findClient(id: string): Client {
  const client = CLIENTS.find((one) => one.id === id);
  if (client) return client;
  const ids = CLIENTS.map((one) => one.id);
  const near = nearest(id, ids);
  throw new GloveboxError('invalid_input', `${JSON.stringify(id)} is no client that is known here.`, {
    hint: `${near ? `Did you mean ${near}? ` : ''}There are: ${ids.join(', ')}.`,
  });
}

/** Returns the file to write, absolute. Undefined if the client has none. */
function fileOf(client: Client, { file, project }: McpConfigOptions, places: ClientPlaces): string | undefined {
  if (file !== undefined) return resolve(file);
  // One that has no file for all projects is a server itself, with its configuration in its own folder.
  if (project || !client.userFile) return client.projectFile && resolve(client.projectFile);
  return resolve(client.userFile(places));
}

function demandFile({ title, next, userFile }: Client, file: string | undefined): string {
  if (file !== undefined) return file;
  throw new GloveboxError('invalid_input', `${title} has no such file.`, {
    hint: userFile ? 'Leave --project out: it has a file for all projects only.' : next,
  });
}

function write(
  client: Client,
  target: Target,
  { entry, force = false, say }: { entry: ReturnType<Client['entry']>; force: boolean | undefined; say: Say },
): void {
  const name = target.path.at(-1);
  const { outcome, file, backup } = writeEntry(target, entry, { force });
  if (outcome === 'kept') {
    throw new GloveboxError('invalid_input', `${file} has another "${name}" already, which was kept.`, {
      hint: `Take --force to replace it by this, or --name for another name:\n\n${printEntry(target, entry)}`,
    });
  }
  if (outcome === 'same') say(`"${name}" is in ${file} already, just so. Nothing was changed.`);
  else say(`${outcome === 'replaced' ? 'Replaced' : 'Added'} "${name}" in ${file}, for ${client.title}.`);
  if (backup !== undefined) say(`The file as it was before: ${backup}`);
}

function adviseOnKey(connection: Connection, entry: string, say: Say): void {
  if (connection.kind !== 'http' || !connection.asksForKey) return;
  if (entry.includes(KEY_VARIABLE)) {
    say(`The key is read from ${KEY_VARIABLE} in the environment of the client. Make one with: glovebox key new NAME`);
  } else say('Put a key in the place of YOUR_KEY. Make one with: glovebox key new NAME');
}
