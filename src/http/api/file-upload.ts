import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import type { Conditions, SessionFiles } from '../../files/session-files.ts';
import { tellReset } from '../../tools/common-fields.ts';
import type { RequestBody } from '../body.ts';
import { isTar, isUntyped } from '../body-type.ts';
import { conditionsToChange, hasConditions, toETag } from '../preconditions.ts';
import { isSet } from '../query.ts';
import type { Env } from '../route.ts';

export interface Upload {
  readonly sessionId: string;
  readonly path: string;
  readonly maxBytes: number;
}

/** What is to become of a body. */
export interface UploadPlan {
  readonly unpacks: boolean;
  /** Whether a body of nothing makes an empty folder. */
  readonly makesFolder: boolean;
  readonly conditions: Conditions | undefined;
}

/** @throws GloveboxError for an upload that is refused whatever is in it */
export function planUpload(c: Context<Env>, path: string): UploadPlan {
  const { headers } = c.req.raw;
  if (headers.has('content-range')) throw isPart();
  const asked = isSet(c, 'unpack');
  if (asked && !isTar(c.req.raw))
    throw new GloveboxError('unsupported_media_type', 'Only a tar can be unpacked.', {
      hint: 'Send it, as it is or in gzip, with the header "Content-Type: application/x-tar".',
    });
  // A name with a slash at its end is a folder's, so that what has no other type can only be a tar.
  const isFolder = path === '' || path.endsWith('/');
  const unpacks = asked || (isFolder && (isTar(c.req.raw) || isUntyped(c.req.raw)));
  if (unpacks && hasConditions(headers))
    throw new GloveboxError('invalid_input', 'Conditions hold of single files, and a tar may have several.', {
      hint: 'Leave out If-Match, If-None-Match and If-Unmodified-Since.',
    });
  if (!unpacks && isFolder) throw needsName();
  return { unpacks, makesFolder: isFolder && !asked, conditions: unpacks ? undefined : conditionsToChange(headers) };
}

/**
 * Puts a request's body into the session as it comes, as a file or, from a tar, as what is in it.
 * @throws GloveboxError when nothing, or not all, of it is taken; the body may then be unread.
 */
export async function receive(
  c: Context<Env>,
  files: SessionFiles,
  body: RequestBody,
  { sessionId, path, maxBytes, unpacks, makesFolder, conditions }: Upload & UploadPlan,
): Promise<Response> {
  if (unpacks) {
    const isEmpty = makesFolder && body.declared === 0;
    const { end, ...unpacked } = isEmpty
      ? await files.makeFolder(path)
      : await files.unpack(path, body.chunks(maxBytes), maxBytes);
    return c.json({ session_id: sessionId, path: path || '.', ...unpacked, ...tellReset(end) }, 201);
  }
  const size = body.declared;
  const isNew = conditions?.none_match === '*';
  const written = await files.write(path, body.chunks(maxBytes), {
    mode: isNew ? 'create' : 'replace',
    ...(size === undefined ? {} : { size }),
    ...(conditions ? { conditions: withoutCreate(conditions) } : {}),
  });
  if (written.tag !== undefined) c.header('ETag', toETag(written.tag));
  const answer = { session_id: sessionId, path, size: written.size, ...tellReset(written.end) };
  return c.json(answer, written.created ? 201 : 200);
}

/** That a file must be new is a mode of its own, with an error of its own. */
function withoutCreate({ none_match: noneMatch, ...others }: Conditions): Conditions {
  return noneMatch === undefined || noneMatch === '*' ? others : { ...others, none_match: noneMatch };
}

/** Stored as a whole file, a part would take the place of all of it. */
function isPart(): GloveboxError {
  return new GloveboxError('invalid_input', 'A part of a file (Content-Range) is not taken.', {
    hint: 'Send the whole file, without the header Content-Range.',
  });
}

function needsName(): GloveboxError {
  return new GloveboxError('invalid_input', 'A file needs a name that does not end in a slash.', {
    hint: 'To fill a folder, POST a form of files, or send a tar with the header "Content-Type: application/x-tar".',
  });
}
