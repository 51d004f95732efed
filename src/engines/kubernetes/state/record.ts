import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';
import { MOST_SAVED_BYTES, type SavedSession, type SharedSession, savedSessionSchema } from '../../../state/state.ts';
import { API_VERSION, KIND, labelsOf, ownerId, recordName, STATE_LABELS } from './names.ts';

/** What is kept of an object's head when it is written again: an operator may have added to it. */
const metadataSchema = z
  .looseObject({
    name: z.string(),
    uid: z.string(),
    resourceVersion: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
  })
  // Two thirds of a record, and nothing that may be written.
  .transform(({ managedFields: _, ...kept }) => kept);

/** A record as it comes. Its spec may be anything: one that is damaged must not end the watch of all. */
export const recordSchema = z.object({ metadata: metadataSchema, spec: z.unknown() });
export type RecordObject = z.infer<typeof recordSchema>;

const specSchema = z.object({
  owner: z.string().min(1).max(1024),
  id: z.string().min(1).max(64),
  createdAt: z.iso.datetime(),
  generation: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  holder: z.string().min(1).max(253).optional(),
  saved: savedSessionSchema.optional(),
});

/** What is known of one record: a session, or what is wrong with it. */
export interface KnownRecord {
  readonly object: RecordObject;
  readonly session: SharedSession | undefined;
  readonly problem: string | undefined;
}

/** Reads a record. Never throws. */
export function readRecord(group: string, object: RecordObject): KnownRecord {
  const damaged = (problem: string) => ({ object, session: undefined, problem });
  const parsed = specSchema.safeParse(object.spec);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return damaged(`spec.${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'unreadable'}`);
  }
  const { createdAt, holder, saved, ...spec } = parsed.data;
  if (object.metadata.name !== recordName(group, spec.owner, spec.id))
    return damaged('its name is not that of its group, owner and session');
  const session = { ...spec, createdAt: new Date(createdAt), holder, saved };
  return { object, session, problem: undefined };
}

/** Makes the object of a session, in place of an earlier one. @throws GloveboxError `capacity_exceeded` if it is too long */
export function writeRecord(group: string, session: SharedSession, before?: RecordObject): object {
  const { owner, id, createdAt, generation, holder, saved } = session;
  const { [STATE_LABELS.sandbox]: _, ...labels } = before?.metadata.labels ?? {};
  assertBounded(saved);
  return {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: {
      ...before?.metadata,
      name: recordName(group, owner, id),
      labels: {
        ...labels,
        ...labelsOf(group),
        [STATE_LABELS.owner]: ownerId(owner),
        ...(saved?.key === undefined ? {} : { [STATE_LABELS.sandbox]: saved.key }),
      },
    },
    spec: {
      owner,
      id,
      createdAt: createdAt.toISOString(),
      generation,
      ...(holder === undefined ? {} : { holder }),
      ...(saved === undefined ? {} : { saved }),
    },
  };
}

function assertBounded(saved: SavedSession | undefined): void {
  const bytes = Buffer.byteLength(JSON.stringify(saved ?? {}));
  if (bytes <= MOST_SAVED_BYTES) return;
  throw new GloveboxError('capacity_exceeded', `The state of the session is too long to be kept: ${bytes} bytes.`, {
    hint: 'Close contexts and terminals that are no longer needed, or narrow it to fewer hosts.',
  });
}
