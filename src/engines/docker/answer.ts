import { setImmediate } from 'node:timers/promises';
import { GloveboxError } from '../../errors.ts';
import { reasonOf, statusOf } from './inspect.ts';

/** Longest wait for an answer, in milliseconds. A loaded engine takes seconds to start a container. */
const ANSWER_LIMIT_MS = 30_000;

/** What Node says of a connection that ended before the answer. */
const BROKEN = ['ECONNRESET', 'EPIPE'];
const MOST_ATTEMPTS = 5;

/**
 * The engine's answer, or what its error means here; no answer within the limit is one.
 * @param onLate takes an answer that comes after that
 */
export async function explain<T>(call: Promise<T>, onLate: (answer: T) => void = () => {}): Promise<T> {
  const silence = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    call.then(onLate, () => {});
    silence.reject(new Error('no answer'));
  }, ANSWER_LIMIT_MS);
  try {
    return await Promise.race([call, silence.promise]);
  } catch (error) {
    throw translate(error);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Makes a call again while the connection that it got turns out to be broken. Those that are kept open break together,
 * and the end of each is noticed on its own. Only for calls that change nothing.
 */
export async function askAgain<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      const isBroken = error instanceof Error && 'code' in error && BROKEN.includes(String(error.code));
      if (!isBroken || attempt === MOST_ATTEMPTS) throw error;
      await setImmediate();
    }
  }
}

/** Translates an error of the engine: `sandbox_lost` if the sandbox is gone, else `engine_unavailable`. */
function translate(error: unknown): GloveboxError {
  if (error instanceof GloveboxError) return error;
  const status = statusOf(error);
  const reason = reasonOf(error);
  if (status === 404 && /no such image|image not known/i.test(reason)) {
    return new GloveboxError('engine_unavailable', 'The sandbox image is missing from the engine.', {
      hint: 'Restart Glovebox: it builds the image anew.',
      cause: error,
    });
  }
  if (status === 404 || (status === 409 && /not running|is paused|removal/i.test(reason))) {
    return new GloveboxError('sandbox_lost', 'The sandbox of this session is gone.', { cause: error });
  }
  if (/network enabled in root network namespace/.test(reason)) {
    return new GloveboxError('engine_unavailable', 'gVisor does not start without being told to have no network.', {
      hint: 'Add "runtimeArgs": ["--network=none"] to runsc in the daemon.json of the engine, and restart the engine.',
      cause: error,
    });
  }
  if (status !== undefined) {
    return new GloveboxError('engine_unavailable', `The container engine refused: ${reason.slice(0, 300)}`, {
      hint: "Look at the engine's own log, and at the settings of this server.",
      cause: error,
    });
  }
  return new GloveboxError('engine_unavailable', 'The container engine does not answer.', { cause: error });
}
