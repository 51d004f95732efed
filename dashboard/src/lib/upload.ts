import { address } from '../api/client.ts';
import { lostConnection } from '../api/connection.ts';
import { ApiError, noAnswer, toApiError } from '../api/error.ts';
import { authorization, refused } from '../api/key.ts';
import { formatBytes } from './format.ts';

export function filePath(session: string, path: string): string {
  return `/sessions/${encodeURIComponent(session)}/files/${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** Refuses a file that cannot fit, before any of it is sent. @throws ApiError */
export function checkSize({ name, size }: File, diskMb: number | undefined): void {
  const room = (diskMb ?? Number.POSITIVE_INFINITY) * 2 ** 20;
  if (size <= room) return;
  throw new ApiError(
    413,
    'payload_too_large',
    `${name} has ${formatBytes(size)}; the disk of a session holds ${formatBytes(room)}.`,
    'Send a part of it, or ask the operator to raise GLOVEBOX_DISK_MB.',
  );
}

/**
 * Sends a file while it is read, so that its size in memory does not matter.
 * @param onProgress called with the part that has been sent, from 0 to 1
 * @throws ApiError
 */
export async function uploadFile(
  session: string,
  file: File,
  { onProgress, signal }: { readonly onProgress: (part: number) => void; readonly signal: AbortSignal },
): Promise<void> {
  // `fetch` tells nothing of what it has sent.
  const request = new XMLHttpRequest();
  request.open('PUT', address(filePath(session, file.name)));
  for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
  request.setRequestHeader('Content-Type', 'application/octet-stream');
  request.upload.onprogress = ({ loaded, total }) => onProgress(total > 0 ? loaded / total : 1);
  const stop = () => request.abort();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      request.onload = () => resolve();
      request.onabort = () => reject(new ApiError(0, 'cancelled', 'The upload was stopped.', 'Drop the file again.'));
      request.onerror = () => {
        lostConnection();
        reject(noAnswer());
      };
      request.send(file);
    });
  } finally {
    signal.removeEventListener('abort', stop);
  }
  if (request.status === 401) refused();
  if (request.status >= 300) throw toApiError(request.status, parse(request.responseText));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
