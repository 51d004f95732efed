import { addAbortSignal } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../../client/client.ts';
import type { Config } from '../../config/load.ts';
import { GloveboxError } from '../../errors.ts';
import { SIGNALS, type SignalName } from '../../sessions/processes/program-control.ts';
import type { CommandContext } from '../context.ts';
import { type ClientCommandOptions, withClient } from '../with-client.ts';

/** Time in milliseconds until a program that leaves its input unread is sent more. */
const AGAIN_MS = 200;

export interface KillOptions extends ClientCommandOptions {
  readonly signal: string;
}

/** Runs `glovebox kill`: sends a signal to a background execution. */
export async function runKill(
  config: Config,
  execution: string,
  options: KillOptions,
  context: CommandContext,
): Promise<void> {
  const name = readSignal(options.signal);
  await withClient(config, { ...options, keepsSessions: true }, context, async ({ client }) => {
    await client.signal(execution, name);
    return 0;
  });
}

/** Reads the name of a signal, in the spellings that `kill` takes. */
function readSignal(text: string): SignalName {
  const short = text.toUpperCase().replace(/^SIG/, '');
  const found = SIGNALS.find((name) => name === short);
  if (found) return found;
  throw new GloveboxError('invalid_input', `${JSON.stringify(text)} is no signal that can be sent.`, {
    hint: `Write one of ${SIGNALS.join(', ')}.`,
  });
}

export interface InputOptions extends ClientCommandOptions {
  readonly close?: true;
}

/** Runs `glovebox input`: passes standard input on to a background execution, as it comes. */
export async function runInput(
  config: Config,
  execution: string,
  options: InputOptions,
  context: CommandContext,
): Promise<void> {
  await withClient(config, { ...options, keepsSessions: true }, context, async ({ client, console, signal }) => {
    console.endProgress();
    let hasSent = false;
    for await (const text of textOf(addAbortSignal(signal, process.stdin))) {
      await sendInput(client, execution, text, signal);
      hasSent = true;
    }
    if (options.close) await client.input(execution, { close: true });
    else if (!hasSent) throw nothingToSend();
    return 0;
  });
}

/** Sends text once the program has room for it, as a pipe does. */
async function sendInput(client: Client, execution: string, text: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await client.input(execution, { text });
      return;
    } catch (error) {
      if (!(error instanceof GloveboxError) || error.code !== 'session_busy') throw error;
      await sleep(AGAIN_MS, undefined, { signal });
    }
  }
}

/** Decodes bytes as they come, without any part of a character. @throws GloveboxError for what is no UTF-8 */
async function* textOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const decode = (piece?: Uint8Array) => {
    try {
      return piece ? decoder.decode(piece, { stream: true }) : decoder.decode();
    } catch (cause) {
      throw notText(cause);
    }
  };
  for await (const piece of bytes) {
    const text = decode(piece);
    if (text !== '') yield text;
  }
  decode();
}

function notText(cause: unknown): GloveboxError {
  return new GloveboxError('invalid_input', 'The standard input is not UTF-8, and only text can be sent.', {
    hint: 'Copy a file into the session, which the program then reads: glovebox cp data.bin SESSION:',
    cause,
  });
}

function nothingToSend(): GloveboxError {
  return new GloveboxError('invalid_input', 'There is nothing to send.', {
    hint: 'Pipe it into the command: echo yes | glovebox input EXECUTION. With --close, the program finds the end.',
  });
}
