import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import { makeDirectory } from '../../lib/make-directory.ts';
import { replaceFile } from '../../lib/replace-file.ts';
import type { ListedTool } from '../upstream/connection.ts';

/** Tools of one server that are remembered, those that it no longer has included. */
const MOST_PINS = 10_000;
const fileSchema = z.strictObject({ tools: z.record(z.string(), z.string()) });

/** Hash of all that a server says of a tool, in any order of fields. */
export function hashOf({ name, title, description, inputSchema, outputSchema, annotations }: ListedTool): string {
  const said = { name, title, description, inputSchema, outputSchema, annotations };
  return `sha256-${createHash('sha256')
    .update(JSON.stringify(inOrder(said)))
    .digest('hex')}`;
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, item]) => [name, inOrder(item)]));
}

/** Remembers on disk how tools were when they were first seen, so that a server cannot change them unnoticed. */
export class Pins {
  readonly #directory: string;

  constructor(stateDir: string) {
    this.#directory = join(stateDir, 'tool-pins');
  }

  /**
   * Says which tools are not as they were when first seen, or not as the operator's file says, and remembers new ones.
   * @param pinned hashes of the operator's file. Others than those are not trusted
   */
  changedOf(
    server: string,
    hashes: ReadonlyMap<string, string>,
    pinned?: Readonly<Record<string, string>>,
  ): Set<string> {
    const trusted = new Map(Object.entries(pinned ?? this.#read(server)));
    const fresh = [...hashes].filter(([name]) => !trusted.has(name));
    if (!pinned && fresh.length > 0) this.#write(server, new Map([...trusted, ...fresh]));
    const isTrusted = ([name, hash]: readonly [string, string]) =>
      trusted.get(name) === hash || (!pinned && !trusted.has(name));
    return new Set([...hashes].filter((tool) => !isTrusted(tool)).map(([name]) => name));
  }

  pathOf(server: string): string {
    return join(this.#directory, `${server}.json`);
  }

  /** @throws GloveboxError for a damaged file: without it, any change would go unnoticed */
  #read(server: string): Record<string, string> {
    const path = this.pathOf(server);
    try {
      return fileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).tools;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return {};
      throw new GloveboxError('invalid_input', `What is known of the tools of ${server} cannot be read: ${path}.`, {
        hint: 'Remove the file to trust the tools as they are now.',
        cause,
      });
    }
  }

  #write(server: string, tools: ReadonlyMap<string, string>): void {
    if (tools.size > MOST_PINS) return;
    makeDirectory(this.#directory);
    const text = `${JSON.stringify({ tools: Object.fromEntries(tools) }, null, 2)}\n`;
    replaceFile(this.pathOf(server), text, { flush: true });
  }
}
