import { GloveboxError } from '../errors.ts';
import { NOT_REFUSED, type Protection, type Shortfall } from '../sandbox/assurances.ts';
import type { Backend } from '../sandbox/start-sandbox.ts';
import { ADVICE } from './advice.ts';
import { probeSandbox } from './probe.ts';
import { SeenFiles } from './seen-file.ts';

export interface SealOptions {
  /** Protections that may be missing. */
  readonly allowed: readonly Protection[];
  readonly stateDir: string;
  /** Whether to look in any case, rather than believe an earlier look. */
  readonly mustLook: boolean;
  readonly signal: AbortSignal;
}

/**
 * Makes sure that sandboxes are sealed as asked, by looking into one, or by what an earlier look at the same engine found.
 * @returns what is missing and allowed to be, or no reason to refuse; the log has it as well
 * @throws GloveboxError `engine_unavailable` that names what is missing, and what to do
 */
export async function requireSealed(backend: Backend, options: SealOptions): Promise<readonly Shortfall[]> {
  const missing = await look(backend, options);
  for (const { name, found } of missing)
    backend.log.warn('sandboxes lack a protection, which is allowed', { missing: name, found });
  return missing;
}

async function look(
  backend: Backend,
  { allowed, stateDir, mustLook, signal }: SealOptions,
): Promise<readonly Shortfall[]> {
  const { assurances } = backend;
  if (!assurances) return [];
  const files = new SeenFiles(stateDir, backend.log);
  const fingerprint = await assurances.fingerprint();
  const isAllowed = ({ name }: Shortfall) => allowed.includes(name) || NOT_REFUSED.includes(name);
  const known = mustLook || fingerprint === undefined ? undefined : files.read(fingerprint);
  // What was refused is looked at again: its cause may be gone.
  if (known?.every(isAllowed)) return known;
  const missing = await probeSandbox(backend, assurances, signal);
  const refused = missing.filter((shortfall) => !isAllowed(shortfall));
  if (refused.length > 0) throw unsealed(refused, { ...ADVICE, ...assurances.advice });
  if (fingerprint !== undefined) files.write(fingerprint, missing);
  return missing;
}

function unsealed(refused: readonly Shortfall[], adviceOf: Readonly<Record<Protection, string>>): GloveboxError {
  const names = refused.map(({ name }) => name);
  const advice = [...new Set(names.map((name) => adviceOf[name]))].join(' ');
  return new GloveboxError(
    'engine_unavailable',
    `Sandboxes of this engine lack what was asked for: ${refused.map(({ name, found }) => `${name} (${found})`).join('; ')}.`,
    { hint: `${advice} To serve without, at your own risk: GLOVEBOX_ALLOW_MISSING=${names.join(',')}.` },
  );
}
