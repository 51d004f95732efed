import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { askAgain, explain } from './answer.ts';
import { statusOf } from './inspect.ts';

/** An engine has loaded its settings anew, the default runtime for example. */
const RELOADED = { event: ['reload'] };

/**
 * Watches an engine by its stream of events, which ends when the engine does. That takes one connection, and no calls.
 * @param onChange called once the engine has ended, or has loaded its settings anew
 * @returns whether it is watched. A proxy in front of the engine may forbid it.
 */
export async function watchEngine(docker: Docker, onChange: () => void, signal: AbortSignal): Promise<boolean> {
  try {
    const events = await explain(askAgain(() => docker.getEvents({ filters: RELOADED, abortSignal: signal })));
    const end = () => (events instanceof Readable ? events.destroy() : onChange());
    events.once('data', end).once('close', onChange).on('error', end);
    return true;
  } catch (error) {
    // It answers, and does not let itself be watched.
    if (error instanceof Error && statusOf(error.cause) !== undefined) return false;
    throw error;
  }
}
