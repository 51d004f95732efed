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
  /** Size of the body in bytes, and of the files in a tar. */
  readonly maxBytes: number;
}

/** How a body is stored. */
export interface UploadPlan {
  /** Whether the body is a tar to unpack. */
  readonly unpacks: boolean;
  /** Whether an empty body makes an empty folder. */
  readonly makesFolder: boolean;
  readonly conditions: Conditions | undefined;
}

/** Decides how a body is stored. @throws GloveboxError for an upload that is refused whatever its content is */
export function planUpload(c: Context<Env>, path: string): UploadPlan {
  const { headers } = c.req.raw;
  if (headers.has('content-range')) throw isPart();
  const asked = isSet(c, 'unpack');
  if (asked && !isTar(c.req.raw))
    throw new GloveboxError('unsupported_media_type', 'Only a tar can be unpacked.', {
      hint: 'Send a tar, uncompressed or in gzip, with the header "Content-Type: application/x-tar".',
    });
  // A path that ends in a slash is a folder, so a body without a type must be a tar.
  const isFolder = path === '' || path.endsWith('/');
  const unpacks = asked || (isFolder && (isTar(c.req.raw) || isUntyped(c.req.raw)));
  if (unpacks && hasConditions(headers))
    throw new GloveboxError('invalid_input', 'Conditions apply to single files, but a tar may have several.', {
      hint: 'Leave out If-Match, If-None-Match and If-Unmodified-Since.',
    });
  if (!unpacks && isFolder) throw needsName();
  return { unpacks, makesFolder: isFolder && !asked, conditions: unpacks ? undefined : conditionsToChange(headers) };
}

/**
 * Stores the body of a request in the session while it is received: as a file, or unpacked from a tar.
 * @throws GloveboxError when it was not stored completely; the body may then be unread
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
  const written = await files.write(path, body.chunks(maxBytes, true), {
    mode: isNew ? 'create' : 'replace',
    ...(size === undefined ? {} : { size }),
    ...(conditions ? { conditions: withoutCreate(conditions) } : {}),
  });
  if (written.tag !== undefined) c.header('ETag', toETag(written.tag));
  const answer = { session_id: sessionId, path, size: written.size, ...tellReset(written.end) };
  return c.json(answer, written.created ? 201 : 200);
}

/** Conditions without `If-None-Match: *`, which is a separate mode of writing with its own error. */
function withoutCreate({ none_match: noneMatch, ...others }: Conditions): Conditions {
  return noneMatch === undefined || noneMatch === '*' ? others : { ...others, none_match: noneMatch };
}

/** Error of a request with Content-Range: the part would replace the whole file. */
function isPart(): GloveboxError {
  return new GloveboxError('invalid_input', 'Uploads of a part of a file (Content-Range) are not supported.', {
    hint: 'Send the whole file, without the header Content-Range.',
  });
}

function needsName(): GloveboxError {
  return new GloveboxError('invalid_input', 'The name of a file must not end in a slash.', {
    hint: 'To fill a folder, POST a form with files, or send a tar with the header "Content-Type: application/x-tar".',
  });
}
