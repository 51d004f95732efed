import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Span, type SpanOptions, trace } from './trace.ts';

/** Beginning of the handles that this server makes. They say nothing of anybody. */
const HANDLE = 'gbx_';
const LABEL_CHARACTERS = 16;
/** Names whose labels are kept: to make one takes longer than a span. */
const MOST_LABELS = 1000;

/** Key of this process: without it, nobody finds a name by trying. */
let key: Buffer | undefined;
const labels = new LRUCache<string, string>({ max: MOST_LABELS });

/** Session that spans are about. */
interface SpannedSession {
  readonly id: string;
  readonly owner: string;
}

/** Does work for a session as a span. */
export function traceSession<T>(
  name: string,
  session: SpannedSession,
  work: (span: Span | undefined) => Promise<T>,
  options?: SpanOptions,
): Promise<T> {
  const about = (span: Span | undefined) => {
    span?.set({ 'glovebox.session.id': labelOf(session) });
    return work(span);
  };
  return trace(name, about, options);
}

/** Tells sessions apart: a handle as it is. A name that an owner has chosen may be private, so it has a keyed hash in its place. */
export function labelOf({ id, owner }: SpannedSession): string {
  if (id.startsWith(HANDLE)) return id;
  const name = `${owner}\0${id}`;
  const known = labels.get(name);
  if (known !== undefined) return known;
  key ??= randomBytes(32);
  const label = `named_${createHmac('sha256', key).update(name).digest('hex').slice(0, LABEL_CHARACTERS)}`;
  labels.set(name, label);
  return label;
}
